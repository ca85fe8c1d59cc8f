"""Description of a run before it starts: parameters, devices, data."""

import math
from typing import Any

import jax
import tabulate

from normlab import data
from normlab.program import training_step
from normlab.training import preparation

# Longer tables are cut in the middle.
MOST_ROWS = 60


def describe(
  run: preparation.PreparedRun, state: training_step.TrainState
) -> str:
  """The parameters as a table, the devices, and the size of the data."""
  config = run.config
  sizes = data.describe(config.data.name, config.data.data_dir).sizes
  counts = ', '.join(f'{n:,} {split}' for split, n in sizes.items())
  shape = '×'.join(map(str, run.feed.image_shape))
  epochs = config.total_steps * config.batch_size / sizes['train']
  devices = run.mesh.devices.ravel()
  return '\n'.join(
    [
      parameter_table(state.params),
      f'devices: {len(devices)} of {jax.device_count()} '
      f'({devices[0].device_kind}), '
      f'{config.batch_size // len(devices)} examples of a batch on each',
      f'data: {config.data.name}, {shape}, examples: {counts}',
      f'training: {config.total_steps:,} steps of {config.batch_size} '
      f'examples, {epochs:.1f} epochs',
    ]
  )


def parameter_table(params: Any) -> str:
  """One line a tensor: path, shape, numbers; then their sum."""
  rows = [
    (path, '×'.join(map(str, x.shape)) or 'scalar', f'{x.size:,}')
    for path, x in training_step.named_leaves(params)
  ]
  total = sum(math.prod(x.shape) for x in jax.tree.leaves(params))
  if len(rows) > MOST_ROWS:
    half = MOST_ROWS // 2
    left_out = (f'... {len(rows) - 2 * half} more ...', '', '')
    rows = [*rows[:half], left_out, *rows[-half:]]
  return tabulate.tabulate(
    [*rows, ('total', '', f'{total:,}')],
    ('parameters', 'shape', 'numbers'),
    'plain',
    colalign=('left', 'right', 'right'),
    disable_numparse=True,
  )
