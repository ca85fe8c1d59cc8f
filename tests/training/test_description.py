import numpy as np
import pytest

from configs import base
from normlab import validation
from normlab.training import description, preparation

PARAMS = {
  'layer1': {
    'dense': {'kernel': np.zeros((64, 16))},
    'norm': {'bias': np.zeros(16), 'scale': np.zeros(())},
  },
  'logits': {'kernel': np.zeros((3, 3, 16, 100))},
}


def cells(table):
  return [line.split() for line in table.splitlines()]


def test_columns_are_aligned():
  lines = description.parameter_table(PARAMS).splitlines()
  assert len({len(line) for line in lines}) == 1


def test_table_has_a_line_for_each_tensor_and_their_sum():
  rows = cells(description.parameter_table(PARAMS))
  assert rows == [
    ['parameters', 'shape', 'numbers'],
    ['layer1/dense/kernel', '64×16', '1,024'],
    ['layer1/norm/bias', '16', '16'],
    ['layer1/norm/scale', 'scalar', '1'],
    ['logits/kernel', '3×3×16×100', '14,400'],
    ['total', '15,441'],
  ]


@pytest.mark.parametrize('number, left_out', [(60, 0), (61, 1), (100, 40)])
def test_long_table_is_cut_in_the_middle_and_sums_everything(number, left_out):
  params = {f'p{i:03}': np.zeros(2) for i in range(number)}
  rows = cells(description.parameter_table(params))
  assert rows[-1] == ['total', f'{2 * number}']
  assert rows[1][0] == 'p000' and rows[-2][0] == f'p{number - 1:03}'
  shown = [row for row in rows if row[0] in params]
  assert len(shown) == number - left_out <= description.MOST_ROWS
  assert (['...', str(left_out), 'more', '...'] in rows) == (left_out > 0)


def test_summary_says_devices_data_and_length():
  config = base.get_config()
  config.model.name = 'mlp'
  config.model.widths = (4,)
  config.num_devices, config.total_steps = 2, 1_000
  ready = preparation.prepare(validation.check(config))
  state = preparation.initial_state(ready)
  *table, devices, data, training = description.describe(
    ready, state
  ).splitlines()
  assert '\n'.join(table) == description.parameter_table(state.params)
  # 64 * 4 of the first layer, 2 * 4 of its norm, 4 * 10 + 10 logits.
  assert table[-1].split() == ['total', '314']
  assert devices == 'devices: 2 of 8 (cpu), 16 examples of a batch on each'
  assert data.startswith('data: digits, 8×8×1, examples: ')
  sizes = {
    name: len(batch.labels) for name, batch in ready.feed._splits.items()
  }
  for name, size in sizes.items():
    assert f'{size:,} {name}' in data
  epochs = 32_000 / sizes['train']
  assert training == (
    f'training: 1,000 steps of 32 examples, {epochs:.1f} epochs'
  )
