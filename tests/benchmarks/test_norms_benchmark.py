import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import norms, norms_jax
from benchmarks.norms_jax import BOTH, FORWARD
from normlab import errors
from normlab import norms as layers

SHAPE = (2, 3, 3, 64)  # Of 64 channels GroupNorm's default makes 32 groups.
CASES = {case.row: case for case in norms.cases()}
IN_FLAX = [row for row, case in CASES.items() if case.name in norms.FLAX]


@functools.cache
def data(dtype='float32'):
  return norms_jax.random_data(SHAPE, dtype)


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


@functools.cache
def results(row, dtype='float32'):
  """What each candidate computes, by pass and candidate."""
  passes = norms.steppers(CASES[row], variables(row), data(dtype))
  return {
    pass_: {who: stepper.call() for who, stepper in steppers.items()}
    for pass_, steppers in passes.items()
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
  assert len(norms.cases()) == len(CASES)
  assert {*CASES} - {'layer, example'} == {*layers.ACTIVATION_NORMS} - {'none'}
  assert CASES['layer, example'].layer('float32') == layers.LayerNorm(
    dtype='float32', reduction_axes=(1, 2, 3)
  )


@pytest.mark.parametrize('row', CASES)
@pytest.mark.parametrize('dtype', norms.DTYPES)
def test_output_and_gradient_have_the_dtype_of_the_table(row, dtype):
  def both(variables, data):
    step = norms_jax.step_of(CASES[row].layer(dtype), use_running_average=False)
    return norms_jax.passes(step, variables, data)[BOTH]()

  y, _, (params, gradient) = jax.eval_shape(both, variables(row), data(dtype))
  assert y.shape == gradient.shape == SHAPE
  assert y.dtype == gradient.dtype == dtype
  assert jax.tree.structure(params) == jax.tree.structure(
    variables(row).get('params', {})
  )


@pytest.mark.parametrize('row', IN_FLAX)
@pytest.mark.parametrize('pass_', [FORWARD, BOTH])
def test_flax_computes_the_same(row, pass_):
  found = results(row)[pass_]
  assert_close(found['flax'], found['normlab'])


@pytest.mark.parametrize('row', IN_FLAX)
@pytest.mark.parametrize('dtype', norms.DTYPES)
def test_torch_computes_the_same_in_every_layout(row, dtype):
  pytest.importorskip('torch')
  from benchmarks import norms_torch

  last = row in norms_torch.LAST_AXIS
  y, _, (params, gradient) = results(row, dtype)[BOTH]['normlab']
  epsilon = 1e-5 if dtype == 'float32' else 2e-2

  def as_ours(value):
    if value.ndim == 4 and not last:
      value = value.permute(0, 2, 3, 1)
    return value.float().numpy()

  passes = norms_torch.passes(
    row, CASES[row].layer(dtype), variables(row), data(dtype)
  )
  assert [*passes] == [*norms_torch.LAYOUTS][: 1 if last else 2]
  for layout, calls in passes.items():
    (x,) = calls[FORWARD].args
    assert (x if last else x.permute(0, 2, 3, 1)).is_contiguous() == (
      layout == 'channels last'
    )
    assert_close(as_ours(calls[FORWARD]()), y, epsilon)
    theirs, (their_params, their_gradient) = calls[BOTH]()
    assert_close(as_ours(theirs), y, epsilon)
    assert_close(as_ours(their_gradient), gradient, epsilon)
    their_params = {k: as_ours(v) for k, v in their_params.items()}
    assert_close(their_params, dict(params), epsilon)


def test_who_lacks_a_norm_is_left_out():
  assert {*results('batch_renorm')[BOTH]} == {'floor', 'normlab'}


@pytest.mark.parametrize('dtype', norms.DTYPES)
def test_the_floor_is_one_multiply_add_over_each_array(dtype):
  floor = norms_jax.floor(data(dtype))
  arrays = (data(dtype).x, data(dtype).cotangent)
  for pass_, given in ((FORWARD, arrays[:1]), (BOTH, arrays)):
    found = floor[pass_]()
    assert [result.dtype for result in found] == [dtype] * len(given)
    desired = [1.5 * array.astype(jnp.float32) + 0.5 for array in given]
    assert_close(found, desired, 1e-6 if dtype == 'float32' else 1e-2)


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
  found = norms_jax.kept_bytes(keeps(*residuals), {}, x, key)
  assert found == (big, small)


def test_a_parameter_that_the_backward_pass_needs_is_not_counted():
  def product(variables, x, key):
    return variables['params']['scale'] * x, {}

  x, _, key = data()
  found = norms_jax.kept_bytes(product, {'params': {'scale': x}}, x, key)
  assert found == (0, 0)


def test_ratios_are_to_the_faster_layout_and_a_dash_where_there_is_none():
  times = {'normlab': 2e-3, 'floor': 1e-3}
  times |= {'torch, channels last': 5e-3, 'torch, contiguous': 4e-3}
  assert [*norms.ratios(times)] == ['2.00', '2.00', '–', '0.50']


def test_a_report_has_a_table_of_each_shape_and_dtype(monkeypatch):
  monkeypatch.setattr(norms, 'SHAPES', (SHAPE,))
  report = norms.report(only=['rms'])
  assert jax.__version__ in report
  for dtype in norms.DTYPES:
    assert f'### [2, 3, 3, 64], {dtype}' in report
  rows = [line for line in report.splitlines() if line.startswith('| rms')]
  assert len(rows) == 2
  for row in rows:
    assert row.count('|') == len(norms.HEADER) + 1


def test_an_unknown_norm_is_said_before_anything_is_measured():
  with pytest.raises(errors.ConfigError, match="did you mean 'batch'"):
    norms.report(only=['batc'])
