"""Drawn at random: configs of any values, and of many that are wrong."""

import math

import hypothesis
import ml_collections
import numpy as np
from config_cases import changed, problems
from hypothesis import strategies as st

from configs import base
from normlab import records
from normlab.validation import fields

DRAWN = hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
# Wrong whatever the others are: field to values.
INDEPENDENT = {
  'label': ['', 3],
  'seed': [-1, True, None, 2**40],
  'batch_size': [0, 1.5, 'a', None],
  'eval_every': [0, math.nan],
  'eval_statistics': ['running', (), ('other',)],
  'ema_decay': [1, -1.0, False],
  'log_every': [None, 0],
  'checkpoint_every': [0, 10**6],
  'keep_checkpoints': [0.5],
  'num_devices': [9, -1],
  'profile': [1],
  'data.name': ['digit', 5],
  'model.name': ['cn', None],
  'model.dtype': ['half'],
  'model.activation': ['rel', 3],
  'model.kernel_init': ['he', ''],
  'model.widths': ['12', (True,)],
  'norm.name': ['bach', ()],
  'norm.epsilon': [-1.0, math.inf],
  'norm.ghost_batch_size': [0, 1.5],
  'optimizer.name': ['adm'],
  'optimizer.learning_rate': [0, math.nan, None],
  'optimizer.clip_norm': ['1'],
  'schedule.name': ['cos', 7],
  'schedule.warmup_steps': [10**6, -1, 2.0],
}
SCALARS = st.one_of(
  st.none(),
  st.booleans(),
  st.integers(),
  st.integers(0, 10),
  st.floats(),
  st.floats(0, 1),
  st.text(max_size=5),
  st.complex_numbers(),
  st.binary(max_size=3),
  st.sampled_from(
    [
      np.int64(3),
      np.float16(0.5),
      np.float32('nan'),
      np.True_,
      np.zeros(2),
      np.datetime64('NaT'),
      10**400,
      int,
      len,
      object(),
      {1},
      *('running', 'batch', 'group', 'mlp', 'exponential', 'adam', 'mnist'),
    ]
  ),
)
JUNK = st.recursive(
  SCALARS,
  lambda inner: (
    st.lists(inner, max_size=3)
    | st.tuples(inner, inner)
    | st.dictionaries(st.sampled_from(['a', 'name']), inner, max_size=2)
  ),
  max_leaves=4,
)
# Beside another name than that of base, other fields are wrong too.
UNNAMED = [field for field in fields.FIELDS if not field.endswith('.name')]
PATHS = st.sampled_from(
  [*fields.FIELDS, *fields.SECTIONS, *fields.OPTIONS, 'new', 'norm.new']
)


@DRAWN
@hypothesis.given(
  st.sets(st.sampled_from([*INDEPENDENT]), min_size=1), st.data()
)
def test_all_of_several_bad_fields_are_said_and_nothing_else(chosen, data):
  bad = {
    field: data.draw(st.sampled_from(INDEPENDENT[field]), field)
    for field in chosen
  }
  lines = problems(changed(bad))
  said = [line.removeprefix('config.') for line in lines]
  in_order = [field for field in fields.FIELDS if field in bad]
  assert len(said) == len(in_order), lines
  for line, field in zip(said, in_order, strict=True):
    assert line.startswith((f'{field}=', f'{field}:'))


@DRAWN
@hypothesis.given(st.dictionaries(PATHS, JUNK, min_size=1, max_size=4))
@hypothesis.example({'norm.name': 'group', 'model.widths': (2**20,)})
@hypothesis.example({'norm.name': 'spectral', 'norm.n_steps': 2**31 - 1})
@hypothesis.example({'batch_size': 2**31 - 1, 'norm.ghost_batch_size': 2**30})
@hypothesis.example({'data.name': 'mnist', 'data.data_dir': '\ud800'})
def test_any_values_pass_or_are_a_config_error(drawn):
  sections_last = sorted(drawn, key=lambda path: '.' not in path)
  problems(changed({path: drawn[path] for path in sections_last}))


@DRAWN
@hypothesis.given(st.sampled_from(UNNAMED), JUNK)
def test_a_single_bad_value_is_a_single_problem(path, value):
  lines = problems(changed({path: value}))
  assert len(lines) <= 1, lines


@DRAWN
@hypothesis.given(st.dictionaries(st.text(max_size=3), JUNK, max_size=3))
def test_a_config_that_is_not_of_base_says_what_is_missing(drawn):
  hypothesis.assume(not [key for key in drawn if '.' in key])
  assert problems(ml_collections.ConfigDict(drawn))


def test_the_bad_fields_are_fields_of_base():
  assert set(INDEPENDENT) <= set(records.flatten(base.get_config()))
