import functools
import math
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import norms, norms_candidates, norms_flax
from benchmarks.norms_flax import BOTH, FORWARD
from normlab import errors
from normlab import norms as layers

SHAPE = (2, 3, 3, 64)  # Of 64 channels GroupNorm's default makes 32 groups.
CASES = {case.row: case for case in norms_candidates.cases()}
IN_FLAX = ['batch', 'layer', 'layer, example', 'group', 'instance', 'rms']


@functools.cache
def data(dtype='float32'):
  return norms_flax.random_data(SHAPE, dtype)


@functools.cache
def variables(row):
  """Random ones, so that no parameter could be left out unseen."""
  init = functools.partial(
    CASES[row].layer('float32').init, use_running_average=False
  )
  shapes = jax.eval_shape(init, jax.random.key(0), data().x)
  uniform = np.random.default_rng(0).uniform
  return jax.tree.map(
    lambda leaf: jnp.asarray(uniform(0.5, 2, leaf.shape), leaf.dtype), shapes
  )


def step(row, dtype='float32'):
  layer = CASES[row].layer(dtype)
  return norms_flax.step_of(layer, use_running_average=False)


@functools.cache
def ours(row, dtype='float32'):
  passes = norms_flax.passes(step(row, dtype), variables(row), data(dtype))
  return {
    pass_: jax.block_until_ready(call()) for pass_, call in passes.items()
  }


def assert_close(actual, desired, tolerance=1e-5):
  assert jax.tree.structure(actual) == jax.tree.structure(desired)
  for a, b in zip(
    jax.tree.leaves(actual), jax.tree.leaves(desired), strict=True
  ):
    a, b = (np.asarray(value, np.float32) for value in (a, b))
    # Of the largest value: sums over channels cancel.
    np.testing.assert_allclose(a, b, atol=tolerance * abs(b).max())


def test_every_norm_is_timed_and_layer_norm_twice():
  rows = [case.row for case in norms_candidates.cases()]
  assert len({*rows}) == len(rows)
  assert {*rows} - {'layer, example'} == {*layers.ACTIVATION_NORMS} - {'none'}
  assert CASES['layer, example'].layer('float32') == layers.LayerNorm(
    dtype='float32', reduction_axes=(1, 2, 3)
  )


@pytest.mark.parametrize('row', CASES)
@pytest.mark.parametrize('dtype', norms.DTYPES)
def test_output_and_gradient_have_the_dtype_of_the_table(row, dtype):
  def both(variables, data):
    return norms_flax.passes(step(row, dtype), variables, data)[BOTH]()

  y, _, (params, gradient) = jax.eval_shape(both, variables(row), data(dtype))
  assert y.shape == gradient.shape == SHAPE
  assert y.dtype == gradient.dtype == dtype
  assert jax.tree.structure(params) == jax.tree.structure(
    variables(row).get('params', {})
  )


@pytest.mark.parametrize('row', IN_FLAX)
def test_flax_computes_the_same(row):
  theirs = norms_flax.step_of(CASES[row].flax_layer('float32'))
  passes = norms_flax.passes(theirs, variables(row), data())
  assert_close(passes[FORWARD](), ours(row)[FORWARD])
  assert_close(passes[BOTH](), ours(row)[BOTH])


@pytest.mark.parametrize('row', IN_FLAX)
@pytest.mark.parametrize('dtype', norms.DTYPES)
def test_torch_computes_the_same_in_every_layout(row, dtype):
  pytest.importorskip('torch')
  from benchmarks import norms_torch

  layer = CASES[row].layer(dtype)
  layouts = norms_torch.passes(row, layer, variables(row), data(dtype))
  last = row in ('layer', 'rms')
  assert [*layouts] == ['channels last', 'contiguous'][: 1 if last else 2]
  y, _, (params, gradient) = ours(row, dtype)[BOTH]
  epsilon = 1e-5 if dtype == 'float32' else 2e-2

  def as_ours(value):
    if value.ndim == 4 and not last:
      value = value.permute(0, 2, 3, 1)
    return value.float().numpy()

  for layout, passes in layouts.items():
    x = passes[FORWARD].args[-1]
    assert (x if last else x.permute(0, 2, 3, 1)).is_contiguous() == (
      layout == 'channels last'
    )
    assert_close(as_ours(passes[FORWARD]()), y, epsilon)
    theirs, (their_params, their_gradient) = passes[BOTH]()
    assert_close(as_ours(theirs), y, epsilon)
    assert_close(as_ours(their_gradient), gradient, epsilon)
    their_params = {k: as_ours(v) for k, v in their_params.items()}
    assert_close(their_params, dict(params), epsilon)


def test_torch_is_left_out_where_it_lacks_the_norm():
  pytest.importorskip('torch')
  from benchmarks import norms_torch

  row = 'batch_renorm'
  layer = CASES[row].layer('float32')
  assert not norms_torch.passes(row, layer, variables(row), data())


@pytest.mark.parametrize('dtype', norms.DTYPES)
def test_the_floor_is_one_multiply_add_over_each_array(dtype):
  floor = norms_flax.floor(data(dtype))
  arrays = (data(dtype).x, data(dtype).cotangent)
  for pass_, given in ((FORWARD, arrays[:1]), (BOTH, arrays)):
    results = floor[pass_]()
    assert [result.dtype for result in results] == [dtype] * len(given)
    desired = [1.5 * array.astype(jnp.float32) + 0.5 for array in given]
    assert_close(results, desired, 1e-6 if dtype == 'float32' else 1e-2)


def keeps(*residuals_of):
  """A step whose backward pass keeps these functions of x, and no others."""

  @jax.custom_vjp
  def twice(x):
    return 2 * x

  def forward(x):
    return 2 * x, [function(x) for function in residuals_of]

  twice.defvjp(forward, lambda _, cotangent: (2 * cotangent,))
  return lambda variables, x, key: (twice(x), {})


def per_channel(x):
  return x.sum((0, 1, 2), dtype=jnp.float32)


@pytest.mark.parametrize(
  ('residuals', 'big', 'small'),
  [
    ((), 0, 0),
    ((lambda x: x,), 0, 0),  # The input is there anyway.
    ((lambda x: x, per_channel), 0, 64 * 4),
    ((jnp.sin, per_channel, jnp.sum), 2 * 9 * 64 * 2, 64 * 4 + 2),
    ((lambda x: x.astype(jnp.float32),), 2 * 9 * 64 * 4, 0),
    ((lambda x: [jnp.sin(x)] * 2,), 2 * 9 * 64 * 2, 0),  # The same array.
    ((lambda x: x, lambda x: jax.jit(jnp.cos)(x)), 2 * 9 * 64 * 2, 0),
  ],
)
def test_kept_bytes_are_those_of_a_known_backward_pass(residuals, big, small):
  x, _, key = data('bfloat16')
  found = norms_flax.kept_bytes(keeps(*residuals), {}, x, key)
  assert found == (big, small)


def test_a_parameter_that_the_backward_pass_needs_is_not_counted():
  def product(variables, x, key):
    return variables['params']['scale'] * x, {}

  x, _, key = data()
  found = norms_flax.kept_bytes(product, {'params': {'scale': x}}, x, key)
  assert found == (0, 0)


@pytest.fixture(scope='module')
def table():
  return norms.table(SHAPE, 'float32', only=['batch', 'batch_renorm'], rounds=1)


def test_a_table_has_a_row_a_norm_and_pass(table):
  assert [*zip(table['norm'], table['pass'], strict=True)] == [
    (norm, pass_)
    for norm in ('batch', 'batch_renorm')
    for pass_ in (FORWARD, BOTH)
  ]


def test_ratios_are_those_of_the_times(table):
  for who in ('floor', 'flax', 'torch'):
    np.testing.assert_allclose(
      table[f'normlab / {who}'], table['normlab (ms)'] / table[f'{who} (ms)']
    )
  assert (table[['normlab (ms)', 'floor (ms)']] > 0).all(axis=None)


def test_what_flax_lacks_is_an_empty_cell(table):
  has = table['norm'] == 'batch'
  assert (table['flax (ms)'].notna() == has).all()
  lines = norms.markdown(table).splitlines()
  column = [cell.strip() for cell in lines[0].split('|')].index('flax (ms)')
  cells = [line.split('|')[column].strip() for line in lines[2:]]
  assert [bool(cell) for cell in cells] == [*has]


def test_the_faster_layout_of_torch_counts():
  times = {'normlab': 2.0, 'floor': 1.0}
  times |= {'torch, channels last': 5.0, 'torch, contiguous': 4.0}
  row = norms.columns(times)
  assert row['layout'] == 'contiguous'
  assert (row['torch (ms)'], row['normlab / torch']) == (4, 0.5)
  assert math.isnan(row['normlab / flax'])


def test_queued_calls_are_waited_for_once():
  said = []
  candidates = {'a': {FORWARD: lambda: said.append('call') or 'result'}}
  ready = norms_candidates.queued(candidates, 3, said.append)
  ready['a'][FORWARD]()
  assert said == ['call'] * 3 + ['result']


def test_a_report_names_the_machine_and_each_table(monkeypatch):
  monkeypatch.setattr(norms, 'SHAPES', {SHAPE: 1})
  report = norms.report(only=['rms'])
  assert jax.__version__ in report
  for dtype in norms.DTYPES:
    assert f'[2, 3, 3, 64], {dtype}' in report
  assert report.count('| rms') == 4


def test_an_unknown_norm_is_said_before_anything_is_measured():
  with pytest.raises(errors.ConfigError, match="did you mean 'batch'"):
    norms.report(only=['batc'])


def test_names_are_for_the_norms_only(root):
  script = [sys.executable, root / 'scripts' / 'benchmark.py', 'train']
  result = subprocess.run(
    [*script, '--names=batch'], capture_output=True, text=True
  )
  assert result.returncode == 2
  assert '--names is an option of norms' in result.stderr
