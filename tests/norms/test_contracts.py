"""What every norm of activations promises; a new entry is tested by itself.

Those of kernels have theirs in `test_kernel.py`.
"""

import functools
import pathlib

import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest
from norms_layers import FIELDS, has_field

from normlab import errors, norms
from normlab.norms.core.running import BatchFields

# One shape for nearly all: JAX compiles each operation once a shape.
SHAPE = (4, 3, 8)

every_norm = pytest.mark.parametrize('name', norms.ACTIVATION_NORMS)
# Identity promises to change and to check nothing.
NORMALIZING = [name for name in norms.ACTIVATION_NORMS if name != 'none']
normalizing = pytest.mark.parametrize('name', NORMALIZING)
# With a state in `batch_stats`.
AVERAGING = [
  name
  for name, layer in norms.ACTIVATION_NORMS.items()
  if issubclass(layer, BatchFields)
]
# Their inference takes statistics of the example too.
MIXING = ['switchable', 'evonorm_b0']
# Zero mean, and for all of these but one unit deviation.
CENTRING = ['batch', 'batch_renorm', 'lp_batch', 'mean_only_batch']
CENTRING += ['instance', 'layer', 'group', 'switchable']


with_epsilon = pytest.mark.parametrize(
  'name', [n for n in NORMALIZING if has_field(n, 'epsilon')]
)


def make(name, **fields):
  return norms.build(name=name, **FIELDS.get(name, {}), **fields)()


def has_only_scale_and_bias(name):
  parameters = ready(name)[1].get('params', {})
  return has_field(name, 'use_scale') and {*parameters} == {
    'scale',
    'bias',
  } & {*parameters}


@functools.cache
def ready(name):
  """A norm, its variables, and an input with a mask."""
  layer = make(name)
  x = reference.normal(SHAPE, mean=0.5)
  mask = reference.normal(SHAPE, seed=1) > -1
  assert not mask.all()
  return layer, reference.randomized(layer, x), x, mask


@functools.cache
def step(name):
  """Compiled: the output, the variables after it, and all gradients."""
  layer = make(name)

  @jax.jit
  def run(variables, x, cotangent, mask=None):
    def loss(params, x):
      y, after = reference.training(
        layer, {**variables, 'params': params}, x, mask=mask
      )
      return (y * cotangent).sum(), (y, after)

    gradients, (y, after) = jax.grad(loss, (0, 1), has_aux=True)(
      variables.get('params', {}), x
    )
    return y, after, gradients

  return run


def averages(variables):
  """The running statistics; a step counter is none."""
  stats = variables.get('batch_stats', {})
  counters = ('step', 'updates')
  return {k: np.asarray(v) for k, v in stats.items() if k not in counters}


def assert_finite(tree):
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    assert np.isfinite(leaf).all(), path


COTANGENT = reference.normal(SHAPE, seed=9)


# Parts of one idea, tested through it.
TESTED_IN = {
  'axis_fields': 'test_contracts',
  'fields': 'test_contracts',
  'inference': 'test_mixing',
}


def test_each_source_file_has_a_test_file():
  tests = pathlib.Path(__file__).parent
  sources = pathlib.Path(norms.__file__).parent.rglob('*.py')
  stems = sorted({path.stem for path in sources} - {'__init__'})
  assert {*TESTED_IN} < {*stems}
  files = {stem: TESTED_IN.get(stem, f'test_{stem}') for stem in stems}
  missing = [n for n in files.values() if not (tests / f'{n}.py').is_file()]
  assert not missing


def test_no_layer_is_tested_elsewhere_only():
  for layer in norms.NORMS.values():
    assert layer.__module__.rsplit('.', 1)[-1] not in TESTED_IN


def test_the_norms_with_a_state_are_the_ones_tested_for_it():
  found = [n for n in norms.ACTIVATION_NORMS if 'batch_stats' in ready(n)[1]]
  assert sorted(found) == sorted(AVERAGING)


@every_norm
@pytest.mark.parametrize('given', [None, 'bfloat16', 'float16'])
def test_result_has_the_dtype_asked_for_or_the_joint_one(name, given):
  if given is not None and not has_field(name, 'dtype'):
    pytest.skip('returns the dtype of its input')
  layer = make(name) if given is None else make(name, dtype=given)
  _, variables, x, _ = ready(name)
  for dtype in (jnp.float32, jnp.bfloat16, jnp.float16):
    y, _ = jax.eval_shape(
      functools.partial(reference.training, layer, variables), x.astype(dtype)
    )
    joint = jnp.promote_types(
      dtype, jnp.float32 if 'params' in variables else dtype
    )
    assert y.shape == x.shape
    assert y.dtype == (joint if given is None else given)


@normalizing
def test_without_parameters_the_result_has_the_dtype_of_the_input(name):
  if not has_only_scale_and_bias(name):
    pytest.skip('has parameters that cannot be left out')
  layer = make(name, use_scale=False, use_bias=False)
  x = jnp.zeros(SHAPE, jnp.bfloat16)
  y, variables = jax.eval_shape(
    functools.partial(layer.init_with_output, use_running_average=False),
    jax.random.key(0),
    x,
  )
  assert 'params' not in variables
  assert y.dtype == jnp.bfloat16


@normalizing
@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_half_precision_input_has_float32_statistics(name, dtype):
  if not has_field(name, 'dtype'):
    pytest.skip('has no statistics')
  _, variables, x, _ = ready(name)
  # Of bfloat16's 8 binary digits 300 leaves none; 300^2 overflows float16.
  x = jnp.asarray(20 * x + 300, dtype)
  y, after = reference.training(make(name, dtype=dtype), variables, x)
  full, after_full = reference.training(
    make(name), variables, x.astype(jnp.float32)
  )
  assert y.dtype == dtype
  epsilon = jnp.finfo(dtype).eps
  # What the noise is added to is rounded already.
  atol = 8 * epsilon if name == 'noisy_batch' else 1e-6
  np.testing.assert_allclose(
    y.astype(jnp.float32), full, rtol=epsilon, atol=atol
  )
  for running in averages(after).values():
    assert running.dtype == np.float32
  reference.assert_trees_close(averages(after), averages(after_full), rtol=1e-6)


@every_norm
def test_all_are_called_alike(name):
  layer, variables, x, mask = ready(name)
  for use_running_average in (False, True):
    for kwargs in ({}, {'mask': None}, {'mask': mask}):
      y, _ = layer.apply(
        variables,
        x,
        use_running_average,
        mutable=['batch_stats'],
        rngs={'noise': jax.random.key(0)},
        **kwargs,
      )
      assert y.shape == x.shape
      assert_finite(y)


@every_norm
def test_without_a_state_inference_is_training(name):
  if name in (*AVERAGING, 'noise'):
    pytest.skip('has a state, or noise')
  layer, variables, x, _ = ready(name)
  y, after = reference.training(layer, variables, x)
  for arguments in ((), (None,), (True,)):
    np.testing.assert_array_equal(layer.apply(variables, x, *arguments), y)
  assert 'batch_stats' not in after


@pytest.mark.parametrize('name', AVERAGING)
def test_only_a_training_call_moves_the_state(name):
  layer, variables, x, _ = ready(name)
  _, after = layer.apply(
    variables, x, use_running_average=True, mutable=['batch_stats']
  )
  reference.assert_trees_close(
    dict(after['batch_stats']), dict(variables['batch_stats']), rtol=0
  )
  _, after = reference.training(layer, variables, x)
  for key, value in averages(after).items():
    assert (value != variables['batch_stats'][key]).all()


@pytest.mark.parametrize('name', AVERAGING)
def test_initializing_leaves_the_state_at_its_initial_values(name):
  layer, _, x, _ = ready(name)
  state = layer.init(jax.random.key(0), x, False)['batch_stats']
  for key, value in state.items():
    np.testing.assert_array_equal(value, 0 if key in ('mean', 'step') else 1)


@pytest.mark.parametrize('name', AVERAGING)
def test_inference_does_not_depend_on_the_rest_of_the_batch(name):
  layer, variables, x, mask = ready(name)
  mask = None if name in MIXING else mask
  y = reference.evaluate(layer, variables, x, mask=mask)
  one = reference.evaluate(layer, variables, x[:1])
  np.testing.assert_allclose(y[:1], one, rtol=1e-6)


INPUTS = {
  'zero': np.zeros(SHAPE, np.float32),
  'constant': np.full(SHAPE, 3.3, np.float32),
  'large_constant': np.full(SHAPE, 12345.678, np.float32),
  'constant_channels': np.broadcast_to(reference.normal((8,)), SHAPE),
  'one_example': reference.normal((1, *SHAPE[1:])),
  'one_value': reference.normal((1, 1, 8)),
}


@every_norm
@pytest.mark.parametrize('kind', INPUTS)
def test_output_gradient_and_state_are_finite_on_degenerate_input(name, kind):
  layer, variables, _, _ = ready(name)
  x = INPUTS[kind]
  cotangent = np.broadcast_to(COTANGENT[:1, :1], x.shape)
  y, after, gradients = step(name)(variables, x, cotangent)
  assert_finite((y, after, gradients))
  if kind == 'constant_channels':
    assert_finite(reference.evaluate(layer, after, x))


@pytest.mark.parametrize('name', [*CENTRING, 'rms'])
@pytest.mark.parametrize('kind', ['zero', 'constant', 'large_constant'])
def test_a_constant_input_gives_the_bias(name, kind):
  # Of BatchRenorm too: at step 0 its r and d are 1 and 0.
  if name == 'rms' and kind != 'zero':
    pytest.skip('RMSNorm does not centre')
  layer, variables, _, _ = ready(name)
  y, _ = reference.training(layer, variables, INPUTS[kind])
  bias = variables['params'].get('bias', jnp.zeros(8))
  np.testing.assert_allclose(y, jnp.broadcast_to(bias, SHAPE), atol=1e-5)


@every_norm
def test_an_all_false_mask_leaves_the_running_statistics_as_they_were(name):
  _, variables, x, _ = ready(name)
  mask = np.zeros(SHAPE, bool)
  y, after, gradients = step(name)(variables, x, COTANGENT, mask)
  assert_finite((y, gradients))
  for key, value in averages(after).items():
    np.testing.assert_array_equal(value, variables['batch_stats'][key])


@pytest.mark.parametrize('name', AVERAGING)
def test_a_channel_that_is_all_masked_keeps_its_running_statistics(name):
  _, variables, x, _ = ready(name)
  mask = np.broadcast_to(np.arange(8) != 2, SHAPE)
  x = np.where(mask, x, np.float32(np.nan))
  y, after, gradients = step(name)(variables, x, COTANGENT, mask)
  assert_finite((y, gradients))
  for key, value in averages(after).items():
    moved = value != variables['batch_stats'][key]
    np.testing.assert_array_equal(moved, np.arange(8) != 2)


@normalizing
# The last one's square is infinite.
@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf, 1e30])
def test_what_is_under_the_mask_does_not_matter(name, bad):
  layer, variables, x, mask = ready(name)
  poisoned = np.where(mask, x, np.float32(bad))
  other = np.where(mask, x, np.float32(5))

  # Every output counts here, those under the mask too.
  y, after, gradients = step(name)(variables, poisoned, COTANGENT, mask)
  assert_finite((y, after, gradients))
  assert_finite(reference.evaluate(layer, variables, poisoned, mask=mask))

  # Where only the valid ones do, all is as with any other filling.
  valid = COTANGENT * mask
  y, after, (params, gradient) = step(name)(variables, poisoned, valid, mask)
  desired = step(name)(variables, other, valid, mask)
  np.testing.assert_array_equal(y[mask], desired[0][mask])
  reference.assert_trees_close(averages(after), averages(desired[1]), rtol=0)
  reference.assert_trees_close(params, desired[2][0], rtol=1e-6)
  np.testing.assert_allclose(gradient, desired[2][1], rtol=1e-6)
  assert not gradient[~mask].any()


@normalizing
def test_a_mask_of_ones_is_no_mask(name):
  layer, variables, x, _ = ready(name)
  y, after = reference.training(layer, variables, x, mask=np.ones(SHAPE, bool))
  desired, desired_after = reference.training(layer, variables, x)
  np.testing.assert_allclose(y, desired, rtol=1e-5, atol=1e-6)
  reference.assert_trees_close(
    averages(after), averages(desired_after), rtol=1e-6
  )


@normalizing
@pytest.mark.parametrize('shape', [(4, 1, 1), (4, 3, 1), (3, 1), ()])
def test_a_mask_broadcasts_to_the_input(name, shape):
  layer, variables, x, _ = ready(name)
  mask = np.ones(shape, bool)
  if shape:
    mask[0] = False
  y, _ = reference.training(layer, variables, x, mask=mask)
  full = np.broadcast_to(mask, SHAPE)
  desired, _ = reference.training(layer, variables, x, mask=full)
  np.testing.assert_allclose(y, desired, rtol=1e-5, atol=1e-6)


@normalizing
def test_a_mask_of_numbers_is_one_of_truth_values(name):
  layer, variables, x, mask = ready(name)
  y, _ = reference.training(layer, variables, x, mask=2 * mask.astype(int))
  desired, _ = reference.training(layer, variables, x, mask=mask)
  np.testing.assert_array_equal(y, desired)


UNIT_DEVIATION = [name for name in CENTRING if name != 'mean_only_batch']


def plain(name, **fields):
  """Without what moves the result from zero mean and unit deviation."""
  return make(name, use_scale=False, use_bias=False, **fields)


def plain_variables(layer, x):
  return layer.init(jax.random.key(0), x, use_running_average=False)


@pytest.mark.parametrize('name', UNIT_DEVIATION)
@pytest.mark.parametrize('mode', ['training', 'inference'])
def test_unit_deviation_survives_a_mean_of_1e4(name, mode):
  if mode == 'inference' and name not in AVERAGING:
    pytest.skip('has no state')
  x = reference.normal((16, 128, 8), mean=1e4)
  layer = plain(name)
  variables = plain_variables(layer, x)
  if mode == 'training':
    y, _ = reference.train(layer, variables, x)
  else:
    layer = plain(name, momentum=0.0)
    _, variables = reference.train(layer, variables, x)
    y = reference.evaluate(layer, variables, x)
  np.testing.assert_allclose(np.std(y), 1, rtol=0.01)
  np.testing.assert_allclose(np.mean(y), 0, atol=0.01)


@pytest.mark.parametrize('name', UNIT_DEVIATION)
def test_unit_deviation_survives_a_mean_of_1e2_in_bfloat16(name):
  # A step of bfloat16 is half a deviation here: for l_1, which is right on
  # Gaussian values only, that shows.
  tolerance = 0.03 if name == 'lp_batch' else 0.01
  x = jnp.asarray(reference.normal((16, 128, 8), mean=1e2), jnp.bfloat16)
  layer = plain(name, dtype='float32')
  y, _ = reference.train(layer, plain_variables(layer, x), x)
  np.testing.assert_allclose(np.std(y), 1, rtol=tolerance)
  np.testing.assert_allclose(np.mean(y), 0, atol=0.01)


@every_norm
def test_float16_near_its_range_is_finite_and_right(name):
  # 6e4 squared, or ten of them, are beyond float16's 65,504.
  layer, variables, x, mask = ready(name)
  x = jnp.asarray(np.sign(x) * 6e4, jnp.float16)
  cotangent = jnp.asarray(COTANGENT, jnp.float32)
  results = step(name)(variables, x, cotangent)
  assert_finite(results)
  assert_finite(step(name)(variables, x, cotangent, mask))
  if name != 'noise':  # Its sums may leave the range.
    full = step(name)(variables, x.astype(jnp.float32), cotangent)
    np.testing.assert_allclose(results[0], full[0], rtol=1e-5, atol=1e-5)


SHAPES = {
  'vectors': (6, 8),
  'signals': (2, 5, 8),
  'images': (2, 3, 3, 8),
  'volumes': (2, 2, 3, 2, 8),
}


@every_norm
@pytest.mark.parametrize('kind', SHAPES)
def test_any_rank_keeps_its_shape_and_is_finite(name, kind):
  x = reference.normal(SHAPES[kind], mean=1)
  layer = make(name)

  @jax.jit
  def train_and_evaluate(variables, x):
    y, after = reference.training(layer, variables, x)
    return y, after, reference.evaluate(layer, after, x)

  results = train_and_evaluate(reference.randomized(layer, x), x)
  assert results[0].shape == x.shape
  assert_finite(results)


@every_norm
def test_a_feature_axis_other_than_the_last_is_a_transposition(name):
  field = next(
    (f for f in ('axis', 'feature_axes') if has_field(name, f)), None
  )
  if field is None or name in ('noise', 'noisy_batch'):
    pytest.skip('has no such field, or noise of another layout')
  _, variables, x, _ = ready(name)
  fields = {field: 1}
  if has_field(name, 'reduction_axes'):
    fields['reduction_axes'] = 1
  y, _ = reference.training(make(name), variables, x)
  moved, _ = reference.training(
    make(name, **fields), variables, np.moveaxis(x, -1, 1)
  )
  np.testing.assert_allclose(np.moveaxis(moved, 1, -1), y, atol=1e-5)


@normalizing
@pytest.mark.parametrize('dtype', [np.int32, np.uint8, bool])
def test_integer_input_is_a_type_error(name, dtype):
  layer, variables, _, _ = ready(name)
  with pytest.raises(TypeError, match=f'input has dtype {np.dtype(dtype)}'):
    reference.training(layer, variables, np.ones(SHAPE, dtype))


@normalizing
@pytest.mark.parametrize('shape', [(0, 3, 8), (4, 0, 8)])
def test_empty_input_is_a_value_error(name, shape):
  layer, variables, _, _ = ready(name)
  with pytest.raises(ValueError, match='holds no values'):
    reference.training(layer, variables, np.ones(shape, np.float32))


@normalizing
@pytest.mark.parametrize('shape', [(5,), (3, 3, 8), (1, 4, 3, 8), (2, 1, 1, 1)])
def test_a_mask_that_does_not_broadcast_is_a_value_error(name, shape):
  layer, variables, x, _ = ready(name)
  with pytest.raises(ValueError, match='mask has shape'):
    reference.training(layer, variables, x, mask=np.ones(shape, bool))


@every_norm
@pytest.mark.parametrize('field', ['axis', 'feature_axes', 'reduction_axes'])
@pytest.mark.parametrize('value', [3, -4, (0, 5)])
def test_an_axis_that_the_input_lacks_is_a_value_error(name, field, value):
  if not has_field(name, field):
    pytest.skip('has no such field')
  _, variables, x, _ = ready(name)
  match = f'{field}=.*rank 3; allowed are -3 to 2'
  with pytest.raises(ValueError, match=match):
    reference.training(make(name, **{field: value}), variables, x)


@pytest.mark.parametrize('name', AVERAGING)
def test_a_call_must_say_whether_it_trains(name):
  layer, variables, x, _ = ready(name)
  for argument, field in ((None, None), (True, False)):
    given = layer.clone(use_running_average=field)
    with pytest.raises(ValueError, match='use_running_average is given in'):
      given.apply(variables, x, argument)


@with_epsilon
def test_negative_epsilon_is_a_value_error(name):
  _, variables, x, _ = ready(name)
  with pytest.raises(ValueError, match='epsilon=-0.001 must not be negative'):
    reference.training(make(name, epsilon=-1e-3), variables, x)


@normalizing
def test_errors_name_the_layer(name):
  layer, variables, x, _ = ready(name)
  layer_name = norms.ACTIVATION_NORMS[name].__name__
  with pytest.raises(ValueError, match=f'^{layer_name}: '):
    reference.training(layer, variables, x, mask=np.ones(5, bool))


@every_norm
def test_a_bad_field_lists_the_known_ones(name):
  with pytest.raises(errors.ConfigError, match='epsilom') as error:
    norms.build(name=name, epsilom=1e-3)
  known = [*norms.fields_of(name), '(none)'][0]
  assert known in str(error.value)
  assert repr(name) in str(error.value)


@every_norm
def test_jit_changes_nothing(name):
  layer, variables, x, mask = ready(name)
  y, after = reference.train(layer, variables, x, mask=mask)
  desired, desired_after = reference.training(layer, variables, x, mask=mask)
  np.testing.assert_allclose(y, desired, rtol=1e-5, atol=1e-6)
  reference.assert_trees_close(
    averages(after), averages(desired_after), rtol=1e-5, atol=1e-6
  )


# An axis that the norm reduces, and that devices may share.
SHARED_AXIS = {
  **dict.fromkeys([n for n in AVERAGING if n != 'noisy_batch'], 0),
  **dict.fromkeys(['group', 'instance', 'filter_response', 'evonorm_s0'], 1),
  **dict.fromkeys(['layer', 'rms'], 2),
}


@pytest.mark.parametrize('name', SHARED_AXIS)
def test_devices_that_share_a_reduced_axis_equal_one_device(name):
  variables, fields = ready(name)[1], {}
  if SHARED_AXIS[name] == 2:  # Parameters of features that are elsewhere.
    variables, fields = {}, {'use_scale': False, 'use_bias': False}
  parts = np.stack([reference.normal(SHAPE, mean=mean) for mean in (0, 3)])
  masks = reference.normal(parts.shape, seed=1) > [[[[1]]], [[[-1]]]]
  axis = SHARED_AXIS[name]
  x, mask = (np.concatenate(list(a), axis) for a in (parts, masks))
  y, after = reference.train(make(name, **fields), variables, x, mask=mask)
  mapped = make(name, axis_name='devices', **fields)

  @functools.partial(jax.vmap, axis_name='devices')
  def run(x, mask):
    return reference.train(mapped, variables, x, mask=mask)

  found, state = run(parts, masks)
  np.testing.assert_allclose(
    np.concatenate(list(found), axis), y, rtol=1e-5, atol=1e-5
  )
  for key, value in averages(state).items():
    np.testing.assert_allclose(value[0], averages(after)[key], rtol=1e-5)


@every_norm
def test_derivatives_agree_with_finite_differences_to_second_order(name):
  # BatchRenorm too: at step 0 its r and d are constants, 1 and 0.
  with jax.enable_x64(True):
    layer, variables, _, mask = ready(name)
    x = np.random.default_rng(0).normal(0.5, 1, SHAPE)
    v = np.random.default_rng(1).normal(0, 1, SHAPE)
    cotangent = COTANGENT.astype(np.float64)

    def loss(x):
      y, _ = reference.training(layer, variables, x, mask=mask)
      return (y * cotangent).sum() + (y**2 * cotangent).sum()

    def slope(x):
      return jax.jvp(loss, (x,), (v,))[1]

    @jax.jit
    def derivatives(x):
      gradient, curvature = jax.jvp(jax.grad(loss), (x,), (v,))
      forward = jax.jvp(slope, (x,), (v,))[1]
      backward = jax.grad(lambda x: (jax.grad(loss)(x) * v).sum())(x)
      return {
        'value': loss(x),
        'first': [(gradient * v).sum(), slope(x)],
        'second': [(curvature * v).sum(), forward, (backward * v).sum()],
      }

    h = 1e-5
    here, ahead, behind = (derivatives(x + step * v) for step in (0, h, -h))
    assert here['value'].dtype == jnp.float64
    assert abs(here['first'][0]) > 0.1
    first = (ahead['value'] - behind['value']) / (2 * h)
    second = (ahead['first'][0] - behind['first'][0]) / (2 * h)
    np.testing.assert_allclose(here['first'], first, rtol=1e-6)
    np.testing.assert_allclose(here['second'], second, rtol=1e-6, atol=1e-6)


@every_norm
def test_a_norm_replaces_a_bias_only_by_one_of_its_own(name):
  layer, variables, _, _ = ready(name)
  if norms.build(name=name).replaces_bias:
    assert 'bias' in variables['params']
