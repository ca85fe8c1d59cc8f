"""A trace of some training steps, for TensorBoard's profiler and Perfetto."""

import pathlib

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
      start: the step that the run starts or resumes at.
    """
    self._folder = str(folder)
    last = total_steps - TRACED_STEPS
    self._first = max(start, min(start + SKIPPED_STEPS, last))
    self._total_steps = total_steps
    self._waiting, self._tracing = enabled, False

  def starts(self, step: int) -> bool:
    """Whether the trace starts after `step` updates."""
    return self._waiting and self._first <= step < self._total_steps

  def start(self, step: int) -> None:
    """Starts the trace; the updates so far must have been computed."""
    del step
    self._waiting, self._tracing = False, True
    jax.profiler.start_trace(self._folder, create_perfetto_trace=True)

  def ends(self, step: int) -> bool:
    """Whether the trace ends after `step` updates."""
    return self._tracing and step >= self._first + TRACED_STEPS

  def close(self, step: int = 0) -> None:
    """Ends the trace, if there is one; the updates must have been computed."""
    del step
    if self._tracing:
      self._tracing = False
      jax.profiler.stop_trace()
