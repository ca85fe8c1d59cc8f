"""Evaluates a run on disk: one of its checkpoints, on a split."""

import contextlib
import os
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
import tabulate

from normlab import errors, own_code, records, registry, validation
from normlab.journal import checkpoints
from normlab.norms.trained.recalibration import has_running_statistics
from normlab.program import training_step
from normlab.runtime import devices
from normlab.training import evaluation, preparation
from normlab.validation import fields, rules


class Evaluation(NamedTuple):
  """The metrics of a run, under a line that says of what they are."""

  title: str
  values: dict[str, Any]

  def markdown(self) -> str:
    """The title, and a table with one line a number."""
    rows = []
    for name, value in self.values.items():
      if isinstance(value, list):
        rows += [(f'{name} of {i}', each) for i, each in enumerate(value)]
      else:
        rows.append((name, value))
    text = [(name, '-' if v is None else f'{v:.4f}') for name, v in rows]
    table = tabulate.tabulate(
      text, ['metric', 'value'], 'pipe', disable_numparse=True
    )
    return f'{self.title}\n\n{table}'


def evaluate_run(
  folder: str | os.PathLike[str],
  *,
  split: str = 'test',
  statistics: str = 'running',
  batch_size: int | None = None,
  ema: bool = False,
  step: int | None = None,
  best: bool = False,
  data_dir: str | None = None,
) -> Evaluation:
  """Evaluates a checkpoint of a run, finished or not; changes nothing there.

  Args:
    split: of `evaluation.SPLITS`.
    statistics: of `rules.STATISTICS`.
    batch_size: default: as in `evaluation.evaluate`.
    step: of the checkpoint; default: the last.
    data_dir: where TFDS prepared the data; default: as in the run.

  Raises:
    errors.ConfigError: an unknown name, what this run does not have, or more
      memory than there is.
    records.RecordError: no run, no such checkpoint, or a damaged one.
  """
  registry.lookup('statistics', statistics, dict.fromkeys(rules.STATISTICS))
  registry.lookup('split', split, dict.fromkeys(evaluation.SPLITS))
  if batch_size is not None and batch_size < 1:
    raise refused('batch_size', batch_size, 'a whole number of at least 1')
  if step is not None and best:
    raise refused('step', step, 'left out where best=True is given')
  record = records.Record(folder)
  config = stored_config(record, data_dir)
  if ema and config.ema_decay is None:
    raise refused('ema', ema, 'False for a run with config.ema_decay=None')
  checked = validation.check(config)
  with contextlib.ExitStack() as stack:
    stack.enter_context(devices.enough_memory())
    run = preparation.prepare(checked)
    stack.enter_context(contextlib.closing(run.feed))
    start = preparation.initial_state(run)
    check_statistics(run, start, statistics)
    state, position = checkpoints.restore(record, start, step=step, best=best)
    params = state.ema if ema else state.params
    state = state.replace(params=params, ema=None)
    values = evaluation.evaluate(
      run, state, split, statistics=[statistics], batch_size=batch_size
    )
  parameters = ', averaged parameters' if ema else ''
  title = (
    f'{record.path}: {record.status["status"]}, '
    f'checkpoint of step {position.step}; '
    f'{split}, {statistics} statistics{parameters}'
  )
  return Evaluation(title, values)


def refused(field: str, value: object, allowed: str) -> errors.ConfigError:
  """The error of an argument."""
  return errors.ConfigError(
    f'{field}={value!r} is not allowed: must be {allowed}'
  )


def stored_config(
  record: records.Record, data_dir: str | None
) -> ml_collections.ConfigDict:
  """The config of a run, for the devices and the data of this machine.

  Raises:
    records.RecordError: there is no run.
  """
  stored = record.config
  if stored is None:
    raise records.RecordError(
      f'{str(record.path)!r} holds no run: it has no {records.CONFIG}'
    )
  stored = with_tuples(with_new_fields(stored)) | {'num_devices': None}
  if data_dir is not None:
    stored['data']['data_dir'] = data_dir
  own_code.take_from(stored['code_dir'])
  return ml_collections.ConfigDict(stored).lock()


def with_new_fields(stored: dict[str, Any]) -> dict[str, Any]:
  """A stored config, with the fields that the project did not have then.

  They were off, as None.
  """
  found = {k: {**v} if isinstance(v, dict) else v for k, v in stored.items()}
  for path, rule in fields.FIELDS.items():
    section, _, name = path.rpartition('.')
    if rule.optional:
      owner = found.setdefault(section, {}) if section else found
      owner.setdefault(name, None)
  for path in fields.OPTIONS:
    if (section := path.split('.')[0]) in found:
      found[section].setdefault('options', {})
  return found


def with_tuples(value: Any) -> Any:
  """Lists, also within dicts, as tuples: what they were before JSON."""
  if isinstance(value, dict):
    return {key: with_tuples(v) for key, v in value.items()}
  return tuple(map(with_tuples, value)) if isinstance(value, list) else value


def check_statistics(
  run: preparation.PreparedRun, state: training_step.TrainState, statistics: str
) -> None:
  """Refuses statistics that no norm of the model has.

  Raises:
    errors.ConfigError: they need statistics of batches, and there are none.
  """
  if statistics == 'running':
    return
  network = {'params': state.params, **state.model_state}
  image = jax.ShapeDtypeStruct((1, *run.feed.image_shape), np.float32)
  if not has_running_statistics(run.program.model, network, image):
    name = run.config.norm.name
    raise refused(
      'statistics',
      statistics,
      f"'running': norm {name!r} keeps no statistics of batches",
    )
