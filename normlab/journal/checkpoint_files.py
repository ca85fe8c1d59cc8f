"""The files of one checkpoint, through Orbax: written, read, and checked.

A checkpoint holds the state, the position in the record, and checksums of both:
after a loss of power or a broken copy, damaged files may still decode.
"""

import contextlib
import dataclasses
import json
import pathlib
import zlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from normlab import errors, records
from normlab.program import training_step
from normlab.records import json_files
from normlab.runtime import thread_noise

# Orbax is imported where it is used: it takes half a second, which the first
# step of a run need not wait for.

# In the folder of the checkpoints: those that are to be deleted.
DELETED = '.deleted'
# Below every accuracy; Orbax warns where there is none.
NOT_EVALUATED = -1.0


@dataclasses.dataclass(frozen=True)
class Position:
  """Where a run stands, beside its state; plain JSON values.

  Attributes:
    step: updates so far.
    rows: lines of metrics.jsonl.
    window: values of the steps since the last training row.
    seconds: of training so far.
    stream: where the stream of examples is; empty for examples in memory.
    evaluation_due: whether this step is still to be evaluated.
  """

  step: int = 0
  rows: int = 0
  window: tuple[dict[str, float], ...] = ()
  seconds: float = 0.0
  stream: dict[str, Any] = dataclasses.field(default_factory=dict)
  evaluation_due: bool = False


class DamagedError(Exception):
  """A checkpoint that is not whole."""

  def __init__(self, path: pathlib.Path, reason: str):
    """Names the checkpoint, and says what is wrong with it."""
    super().__init__(f'checkpoint {str(path)!r} is damaged: {reason}')
    self.reason = f'damaged: {reason}'


def arguments(
  state: training_step.TrainState,
  position: Position,
  config: dict[str, Any] | None,
) -> Any:
  """The items that Orbax writes.

  Args:
    state: to be saved; copied, as the next step overwrites it.
  """
  import orbax.checkpoint as ocp

  tensors = training_step.copied(named(state))
  extra = dataclasses.asdict(position)
  del extra['step']  # The state has it.
  extra |= {'checksums': checksums(tensors), 'checksum': checksum(extra)}
  return ocp.args.Composite(
    state=ocp.args.StandardSave(tensors),
    position=ocp.args.JsonSave(extra),
    config=ocp.args.JsonSave(config),
  )


def read(
  path: pathlib.Path, like: training_step.TrainState
) -> tuple[training_step.TrainState, Position]:
  """Reads one checkpoint, and changes nothing.

  Args:
    path: its folder, whose name is the step.
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
    with (
      thread_noise.hidden(),
      ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader,
    ):
      found = reader.restore(
        path.absolute(),
        args=ocp.args.Composite(
          state=ocp.args.StandardRestore(wanted),
          position=ocp.args.JsonRestore(),
        ),
      )
    tensors, extra = found['state'], found['position']
    differing = extra.pop('checksums').items() ^ checksums(tensors).items()
    wrong = sorted({name for name, _ in differing})
    if extra.pop('checksum') != checksum(extra):
      wrong.append('the position')
    extra |= {'step': int(tensors['step']), 'window': tuple(extra['window'])}
    position = Position(**extra)
  except Exception as error:  # Orbax raises what its parsers raise.
    raise DamagedError(path, errors.summary(error)) from error
  if wrong:
    raise DamagedError(path, f'{wrong[0]} differs from its checksum')
  if str(position.step) != path.name:
    raise DamagedError(path, f'it is the checkpoint of step {position.step}')
  return unnamed(tensors, like), position


def accuracy(path: pathlib.Path) -> float:
  """The validation accuracy of a checkpoint, or `NOT_EVALUATED`.

  Raises:
    DamagedError: its metrics cannot be read.
  """
  try:
    found = json_files.loads((path / 'metrics' / 'metrics').read_bytes())
    value = found['accuracy']
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise DamagedError(path, f'its metrics: {errors.summary(error)}') from error
  if not json_files.is_number(value):
    raise DamagedError(path, f'its metrics: accuracy is {errors.shown(value)}')
  return value


def open_manager(folder: pathlib.Path, keep: int) -> Any:
  """Orbax's manager of a folder: writes, and keeps the newest and the best.

  Args:
    folder: with one folder a checkpoint; what was not finished is removed.
    keep: how many of the newest.
  """
  import orbax.checkpoint as ocp
  from orbax.checkpoint import checkpoint_managers as policies

  best = policies.BestN(get_metric_fn=lambda metrics: metrics['accuracy'], n=1)
  newest = policies.LatestN(keep)
  return ocp.CheckpointManager(
    folder.absolute(),
    options=ocp.CheckpointManagerOptions(
      preservation_policy=policies.AnyPreservationPolicy([newest, best]),
      # Without it the accuracy is not written.
      best_fn=best.get_metric_fn,
      cleanup_tmp_directories=True,
      # Renamed at once and then deleted: what is left of a checkpoint when the
      # process dies meanwhile would look like a damaged one.
      todelete_subdir=DELETED,
      # Else a mkdir that fails leaves threads that wait for it for 5 minutes.
      async_options=ocp.AsyncOptions(create_directories_asynchronously=False),
    ),
    item_names=('state', 'position', 'config'),
  )


@contextlib.contextmanager
def writing(folder: pathlib.Path) -> Iterator[None]:
  """A block in which whatever a writer raises becomes a RecordError."""
  try:
    yield
  except Exception as error:
    raise records.RecordError(
      f'checkpoint in {str(folder)!r} cannot be written: {write_problem(error)}'
    ) from error


def named(state: training_step.TrainState) -> dict[str, jax.Array]:
  """The tensors of a state by their paths."""
  return dict(training_step.named_leaves(state))


def unnamed(
  tensors: dict[str, jax.Array], like: training_step.TrainState
) -> training_step.TrainState:
  """The state that `named` took apart, with the structure of `like`."""
  leaves = [tensors[name] for name, _ in training_step.named_leaves(like)]
  return jax.tree.unflatten(jax.tree.structure(like), leaves)


def checksums(tensors: dict[str, jax.Array]) -> dict[str, int]:
  """CRC-32 of the bytes of each tensor."""
  return {
    name: zlib.crc32(np.ascontiguousarray(x).reshape(-1).view(np.uint8))
    for name, x in tensors.items()
  }


def checksum(values: dict[str, Any]) -> int:
  """CRC-32 of JSON values."""
  return zlib.crc32(json.dumps(values, sort_keys=True).encode())


def write_problem(error: BaseException) -> str:
  """Why a checkpoint could not be written, in the system's words if any."""
  cause: BaseException | None = error
  while cause is not None:
    if 'No space left' in str(cause):
      return 'No space left on device'
    if isinstance(cause, OSError) and cause.strerror:
      return cause.strerror
    cause = cause.__cause__ or cause.__context__
  return errors.summary(error)
