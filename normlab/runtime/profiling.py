"""A trace of some training steps, for TensorBoard's profiler and Perfetto."""

import pathlib
from typing import Any

import jax

# Steps before the trace, which are slower than the others, and in it.
SKIPPED_STEPS, TRACED_STEPS = 10, 10


class Profiler:
  """Traces steps of a run; does nothing where it was not asked to.

  The files are those of JAX's profiler, in `plugins/profile/` of the folder:
  `tensorboard --logdir` finds them with the profile plugin installed, and
  https://ui.perfetto.dev opens `perfetto_trace.json.gz`.
  """

  def __init__(
    self, folder: pathlib.Path, *, enabled: bool, start: int, total_steps: int
  ):
    """Chooses the steps: ten after the first ten, earlier in a short run.

    Args:
      folder: of the run.
      enabled: whether anything is traced.
      start: the step that the run starts or resumes at.
      total_steps: of the run.
    """
    self._folder = str(folder)
    last = total_steps - TRACED_STEPS
    self._first = max(start, min(start + SKIPPED_STEPS, last))
    self._waiting, self._tracing = enabled, False

  def before(self, step: int, state: Any) -> None:
    """Starts or ends the trace, before the call whose first step this is.

    Args:
      step: from 0.
      state: what the calls so far compute; a trace waits for it.
    """
    if self._waiting and step >= self._first:
      jax.block_until_ready(state)
      self._waiting, self._tracing = False, True
      jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
    elif self._tracing and step >= self._first + TRACED_STEPS:
      jax.block_until_ready(state)
      self.close()

  def close(self) -> None:
    """Ends the trace, if there is one."""
    if self._tracing:
      self._tracing = False
      jax.profiler.stop_trace()
