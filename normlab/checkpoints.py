"""Checkpoints of a run, through Orbax: written beside training, read with care.

A checkpoint holds the state, where the record stood, and checksums of every
tensor, as a file system that lost power or a copy that went wrong can leave
files that still decode.
"""

import contextlib
import dataclasses
import json
import pathlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from normlab import distributed, records, steps

# Orbax is imported where it is used: it takes half a second, which the first
# step of a run need not wait for.

CHECKPOINTS = records.CHECKPOINTS
DAMAGED = 'damaged_checkpoints'
# Below every accuracy; Orbax warns where there is none.
NOT_EVALUATED = -1.0


@dataclasses.dataclass(frozen=True)
class Position:
  """Where a run stands, beside its state; plain JSON values.

  Attributes:
    rows: lines of metrics.jsonl.
    window: values of the steps since the last training row.
    seconds: of training so far.
    stream: where the stream of examples is; empty for examples in memory.
  """

  rows: int = 0
  window: tuple[dict[str, float], ...] = ()
  seconds: float = 0.0
  stream: dict[str, Any] = dataclasses.field(default_factory=dict)


class Restored(NamedTuple):
  """A checkpoint that was read.

  Attributes:
    step: updates so far.
    state: after them.
    position: of the record.
  """

  step: int
  state: steps.TrainState
  position: Position


class Checkpoints:
  """The checkpoints in the folder of a run."""

  def __init__(self, record: records.Record, *, keep: int | None = None):
    """Names the folder; nothing is read or written yet.

    Args:
      record: of the run.
      keep: how many of the newest are kept, beside the best; None is for
        reading only.
    """
    self.folder = record.path / CHECKPOINTS
    self._record = record
    self._keep = keep
    self._opened: Any = None

  def save(
    self,
    step: int,
    state: steps.TrainState,
    position: Position,
    *,
    accuracy: float | None = None,
  ) -> None:
    """Starts to write a checkpoint; training may go on.

    Args:
      step: updates so far.
      state: after them; copied before this returns.
      position: of the record.
      accuracy: on the validation split, if it was evaluated at this step.

    Raises:
      RecordError: this or an earlier checkpoint cannot be written.
    """
    import orbax.checkpoint as ocp

    tensors = _copy(named(state))
    extra = dataclasses.asdict(position)
    extra |= {'checksums': checksums(tensors), 'checksum': checksum(extra)}
    with self._writing():
      self._manager().save(
        step,
        args=ocp.args.Composite(
          state=ocp.args.StandardSave(tensors),
          position=ocp.args.JsonSave(extra),
          config=ocp.args.JsonSave(self._record.config),
        ),
        metrics={'accuracy': NOT_EVALUATED if accuracy is None else accuracy},
        force=True,
      )

  def wait(self) -> None:
    """Returns when all is on disk.

    Raises:
      RecordError: it cannot be written.
    """
    if self._opened is not None:
      with self._writing():
        self._opened.wait_until_finished()

  def close(self) -> None:
    """Ends the threads that write, whatever became of their work."""
    manager, self._opened = self._opened, None
    if manager is not None:
      with contextlib.suppress(Exception):  # `wait` is what raises.
        manager.close()

  def available(self) -> list[int]:
    """The steps that have a checkpoint, in rising order."""
    if self._opened is None and not self.folder.is_dir():
      return []
    return sorted(self._manager().all_steps())

  def best(self) -> int | None:
    """The step of the best by validation accuracy; None where there is none."""
    accuracy = {
      step: (self._manager().metrics(step) or {}).get('accuracy', NOT_EVALUATED)
      for step in self.available()
    }
    known = {step: a for step, a in accuracy.items() if a != NOT_EVALUATED}
    return max(known, key=lambda step: (known[step], -step), default=None)

  def read(self, step: int, like: steps.TrainState) -> Restored:
    """Reads one checkpoint.

    Args:
      step: of the checkpoint.
      like: a state with the shapes, and on the devices, that are wanted.

    Raises:
      DamagedError: it is not whole.
    """
    import orbax.checkpoint as ocp

    wanted = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
      named(like),
    )
    try:
      found = self._manager().restore(
        step,
        args=ocp.args.Composite(
          state=ocp.args.StandardRestore(wanted),
          position=ocp.args.JsonRestore(),
        ),
      )
      tensors, extra = found['state'], found['position']
      wrong = differing(extra.pop('checksums'), checksums(tensors))
      if extra.pop('checksum') != checksum(extra):
        wrong.append('the position')
      position = Position(**{**extra, 'window': tuple(extra['window'])})
    except Exception as error:  # Orbax raises what its parsers raise.
      raise DamagedError(self.folder / str(step), first_line(error)) from error
    if wrong:
      raise DamagedError(
        self.folder / str(step), f'{wrong[0]} differs from its checksum'
      )
    return Restored(step, unnamed(tensors, like), position)

  def newest_whole(
    self, like: steps.TrainState, warn: Callable[[str], None]
  ) -> Restored | None:
    """The newest checkpoint that is whole and agrees with the record.

    Those that are not are moved aside, to `damaged_checkpoints`.

    Args:
      like: as in `read`.
      warn: is told of each checkpoint that is passed over.

    Returns:
      The checkpoint; None where there is none.
    """
    for step in reversed(self.available()):
      problem, found = None, None
      try:
        found = self.read(step, like)
        rows = self._record.whole_rows()
        if rows < found.position.rows:
          problem = (
            f'{records.METRICS} has {rows} of the {found.position.rows} rows '
            'that were written before it'
          )
      except DamagedError as error:
        problem = error.reason
      problem = distributed.first_problem(problem)
      if problem is None:
        return found
      path = self._set_aside(step)
      warn(
        f'checkpoint {str(self.folder / str(step))!r} cannot be used '
        f'({problem}); it is now {str(path)!r}, and the run goes back to the one '
        'before'
      )
    return None

  def _set_aside(self, step: int) -> pathlib.Path:
    """Moves a checkpoint out of the way; nothing is deleted."""
    self.close()
    target = self._record.path / DAMAGED / str(step)
    while target.exists():
      target = target.with_name(target.name + '_')
    if distributed.is_primary():
      target.parent.mkdir(exist_ok=True)
      (self.folder / str(step)).rename(target)
    distributed.wait_for_all('set_aside')
    return target

  def _manager(self) -> Any:
    if self._opened is None:
      self._opened = open_manager(self.folder, self._keep)
    return self._opened

  def _writing(self) -> '_Writing':
    return _Writing(self.folder)


class DamagedError(Exception):
  """A checkpoint that is not whole."""

  def __init__(self, path: pathlib.Path, reason: str):
    """Names the checkpoint, and says what is wrong with it."""
    super().__init__(f'checkpoint {str(path)!r} is damaged: {reason}')
    self.reason = f'damaged: {reason}'


class _Writing:
  """Turns whatever a checkpoint writer raises into one line."""

  def __init__(self, folder: pathlib.Path):
    self._folder = folder

  def __enter__(self) -> None:
    pass

  def __exit__(
    self, kind: Any, error: BaseException | None, trace: Any
  ) -> None:
    if isinstance(error, Exception):
      raise records.RecordError(
        f'checkpoint in {str(self._folder)!r} cannot be written: '
        f'{write_problem(error)}'
      ) from error


def open_manager(folder: pathlib.Path, keep: int | None) -> Any:
  """Orbax's manager of a folder: keeps the newest and the best.

  Args:
    folder: with one folder a checkpoint.
    keep: how many of the newest; None only reads, and leaves alone what another
      process is writing.
  """
  import orbax.checkpoint as ocp
  from orbax.checkpoint import checkpoint_managers as policies

  best = policies.BestN(get_metric_fn=lambda metrics: metrics['accuracy'], n=1)
  newest = policies.LatestN(keep)
  writes = keep is not None
  return ocp.CheckpointManager(
    folder.absolute(),
    options=ocp.CheckpointManagerOptions(
      preservation_policy=policies.AnyPreservationPolicy([newest, best]),
      # Without it the accuracy is not written.
      best_fn=best.get_metric_fn,
      cleanup_tmp_directories=writes,
      create=writes,
    ),
    item_names=('state', 'position', 'config'),
  )


def restore(
  record: records.Record,
  like: steps.TrainState,
  *,
  step: int | None = None,
  best: bool = False,
) -> Restored:
  """Reads a checkpoint of a run, and changes nothing.

  Args:
    record: of the run.
    like: a state with the shapes, and on the devices, that are wanted.
    step: of the checkpoint; None is the newest, or the best.
    best: by validation accuracy, of those there are.

  Raises:
    RecordError: no such checkpoint, or it is damaged.
  """
  found = Checkpoints(record)
  try:
    available = found.available()
    chosen = step
    if chosen is None and available:
      chosen = found.best() if best else available[-1]
    if chosen not in available:
      wanted = 'checkpoint' if step is None else f'checkpoint of step {step}'
      raise records.RecordError(
        f'{str(record.path)!r} has no {wanted}; there are: '
        f'{", ".join(map(str, available)) or "none"}'
      )
    return found.read(chosen, like)
  except DamagedError as error:
    raise records.RecordError(str(error)) from error
  finally:
    found.close()


@jax.jit
def _copy(tensors: dict[str, jax.Array]) -> dict[str, jax.Array]:
  # The next step overwrites the state while it is being written.
  return jax.tree.map(jnp.copy, tensors)


def named(state: steps.TrainState) -> dict[str, jax.Array]:
  """The tensors of a state by their paths."""
  return dict(steps.named_leaves(state))


def unnamed(
  tensors: dict[str, jax.Array], like: steps.TrainState
) -> steps.TrainState:
  """The state that `named` took apart, with the structure of `like`."""
  leaves = [tensors[name] for name, _ in steps.named_leaves(like)]
  return jax.tree.unflatten(jax.tree.structure(like), leaves)


def checksums(tensors: dict[str, jax.Array]) -> dict[str, int]:
  """CRC-32 of the bytes of each tensor."""
  return {name: zlib.crc32(bytes_of(x)) for name, x in tensors.items()}


def checksum(values: dict[str, Any]) -> int:
  """CRC-32 of JSON values."""
  return zlib.crc32(json.dumps(values, sort_keys=True).encode())


def bytes_of(tensor: jax.Array) -> np.ndarray:
  """The bytes of a tensor that every device holds whole."""
  return np.ascontiguousarray(tensor).reshape(-1).view(np.uint8)


def differing(there: dict[str, int], here: dict[str, int]) -> list[str]:
  """The names whose checksums are not the same."""
  return [
    name
    for name in sorted({*there, *here})
    if there.get(name) != here.get(name)
  ]


def first_line(error: BaseException) -> str:
  """What an exception says, in one line of a readable length."""
  text = str(error).strip() or type(error).__name__
  return text.splitlines()[0][:200]


def causes(error: BaseException) -> Iterator[BaseException]:
  """An exception and those that led to it."""
  at: BaseException | None = error
  while at is not None:
    yield at
    at = at.__cause__ or at.__context__


def write_problem(error: BaseException) -> str:
  """Why a checkpoint could not be written: the system's words where there are."""
  for cause in causes(error):
    if 'No space left' in str(cause):
      return 'No space left on device'
    if isinstance(cause, OSError) and cause.strerror:
      return cause.strerror
  return first_line(error)
