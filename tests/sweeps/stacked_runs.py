"""Small runs that can be stacked, alone and together."""

import functools
import json

import jax
import numpy as np
from stopped_runs import final_tensors

from configs import base
from normlab import records
from normlab.runtime import progress_bar
from normlab.runtime.interruption import Interrupted
from normlab.sweeps.runners.stacked.vectorized import Vectorized
from normlab.training import loop

# What the members of one group differ in: together, all kinds of numbers.
NUMBERS = (
  {},
  {
    'seed': 1,
    'model.dropout': 0.3,
    'norm.momentum': 0.5,
    'label_smoothing': 0.2,
  },
  {'optimizer.learning_rate_multiplier': 3.0, 'optimizer.weight_decay': 0.01},
  {'schedule.name': 'cosine', 'schedule.warmup_steps': 3},
  {'optimizer.momentum': 0.5, 'optimizer.learning_rate': 0.1},
)


def config(**fields):
  """A run of a dozen steps, with everything that there is to a step."""
  made = base.get_config()
  made.model.name = 'mlp'
  made.model.widths = (8,)
  made.norm.momentum = 0.9
  made.optimizer.momentum = 0.9
  made.label_smoothing = 0.1
  made.total_steps = 12
  made.eval_every = 5
  made.log_every = 4
  made.num_devices = 1
  made.update_from_flattened_dict(fields)
  return made


def group(folder, **changes):
  """The members of `NUMBERS`; `changes` are fields of all of them."""
  return {
    str(folder / f'member{i}'): config(**numbers, **changes)
    for i, numbers in enumerate(NUMBERS)
  }


class Watch:
  """Ends a sweep after some looks."""

  def __init__(self, polls=10**9):
    self._left = polls
    self.paths = []

  def started(self, path):
    self.paths.append(path)

  def poll(self):
    self._left -= 1

  def stop(self):
    return self._left < 0


def train(runs, polls=10**9):
  """Path to problem of the runs that have ended, in this order."""
  ended = list(Vectorized().train(runs, Watch(polls)))
  assert len({one.path for one in ended}) == len(ended)
  return {one.path: one.problem for one in ended}


def train_alone(config, path, calls=10**9):
  """Stops after some calls of the compiled program."""
  watch = Watch(calls)

  def stop():
    watch.poll()
    return watch.stop()

  try:
    return loop.train(
      config, str(path), progress=lambda _: progress_bar.Progress(), stop=stop
    )
  except Interrupted:
    return records.Record(path)


@functools.cache
def alone(text, folder):
  """The record of a run that was trained alone, once for all tests."""
  made = config(**json.loads(text))
  return train_alone(made, folder / records.run_name(made))


def assert_is_as_alone(path, folder, fields):
  """The run has the rows and the end of the same run alone."""
  ours = records.Record(path)
  theirs = alone(json.dumps(fields, sort_keys=True), folder)
  assert without_time(ours.status) == without_time(theirs.status)
  assert_equal_rows(ours.metrics(), theirs.metrics())
  made = config(**fields)
  if ours.status['status'] == 'done':
    assert_equal_trees(
      final_tensors(path, made), final_tensors(theirs.path, made)
    )


def without_time(status):
  return {name: value for name, value in status.items() if name != 'seconds'}


def assert_equal_rows(ours, theirs):
  assert len(ours) == len(theirs)
  for one, other in zip(ours, theirs, strict=True):
    assert one.keys() == other.keys()
    for name, value in one.items():
      if isinstance(value, str):
        assert value == other[name]
      else:
        np.testing.assert_allclose(
          np.array(value, float),
          np.array(other[name], float),
          rtol=2e-4,
          atol=1e-6,
          err_msg=name,
        )


def assert_equal_trees(ours, theirs):
  assert jax.tree.structure(ours) == jax.tree.structure(theirs)
  for (path, one), other in zip(
    jax.tree_util.tree_leaves_with_path(ours),
    jax.tree.leaves(theirs),
    strict=True,
  ):
    np.testing.assert_allclose(
      one, other, rtol=2e-4, atol=1e-5, err_msg=jax.tree_util.keystr(path)
    )
