import contextlib
import threading

from normlab import records
from normlab.sweeps.runners.ray import ray_task


def test_a_folder_that_a_dying_process_holds_is_waited_for(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(ray_task, 'LOCK_PATIENCE', 20)
  record, told = records.Record(tmp_path), threading.Event()
  with contextlib.ExitStack() as stack:
    stack.enter_context(record.locked())
    release = threading.Timer(0.2, stack.close)
    release.start()
    ray_task.wait_until_free(record, told)
    release.join()
  with record.locked():  # Free, and nobody holds it.
    told.set()
    ray_task.wait_until_free(record, told)  # Told to end, it does not wait.
