"""What every norm of kernels promises."""

import functools

import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest
from flax import linen as nn

from normlab import norms

WRAPPERS = {
  **norms.KERNEL_NORMS,
  'scaled_standardization': functools.partial(
    norms.WeightStandardization, scaled=True
  ),
}
every_wrapper = pytest.mark.parametrize('name', WRAPPERS)
X = reference.normal((2, 3))
KERNEL = reference.normal((3, 4), seed=1)


class Capture(nn.Module):
  """A layer that gives its kernel out."""

  @nn.compact
  def __call__(self, x, factor=1):
    shape = (x.shape[-1], 4)
    return factor * self.param('kernel', nn.initializers.normal(1), shape)


@functools.cache
def ready(name, **fields):
  layer = WRAPPERS[name](Capture(), **fields)
  return layer, layer.init(jax.random.key(0), X, update_stats=False)


def with_kernel(variables, kernel):
  params = {**variables['params'], 'layer_instance': {'kernel': kernel}}
  return {**variables, 'params': params}


def effective(layer, variables, kernel):
  """The kernel that the layer is called with."""
  variables = with_kernel(variables, kernel)
  return layer.apply(variables, X, update_stats=False)


# Compiled once for each layer and shape of the kernel.
@functools.partial(jax.jit, static_argnums=0)
def value_and_gradients(layer, variables, kernel, cotangent):
  def loss(params, kernel):
    w = effective(layer, {**variables, 'params': params}, kernel)
    return (w * cotangent).sum(), w

  (_, w), gradients = jax.value_and_grad(loss, (0, 1), has_aux=True)(
    variables['params'], kernel
  )
  return w, gradients


@every_wrapper
@pytest.mark.parametrize(
  'make',
  [
    functools.partial(nn.Dense, 4),
    functools.partial(nn.Conv, 4, (3,)),
    functools.partial(nn.ConvTranspose, 4, (3,)),
    functools.partial(nn.DenseGeneral, (2, 4)),
  ],
)
def test_shapes_are_those_of_the_layer(name, make):
  wrapper = WRAPPERS[name](make())
  # Extra batch axes, which all of these take.
  x = jnp.zeros((2, 2, 5, 3))

  def both(key):
    alone, variables = make().init_with_output(key, x)
    wrapped, after = wrapper.init_with_output(key, x, update_stats=True)
    again = wrapper.apply(after, x, update_stats=False)
    raw = after['params']['layer_instance']
    return (alone, alone, variables['params']), (wrapped, again, raw)

  desired, actual = jax.eval_shape(both, jax.random.key(0))
  assert actual == desired


@every_wrapper
def test_initialization_stores_the_kernel_of_the_layer(name):
  class Alone(nn.Module):
    @nn.compact
    def __call__(self, x):
      return nn.Dense(4, name='dense')(x)

  class Wrapped(nn.Module):
    @nn.compact
    def __call__(self, x):
      dense = nn.Dense(4, name='dense')
      return WRAPPERS[name](dense, name='norm')(x, update_stats=True)

  alone = Alone().init(jax.random.key(3), X)['params']['dense']
  wrapped = Wrapped().init(jax.random.key(3), X)['params']['dense']
  reference.assert_trees_close(wrapped, alone, rtol=0)


@every_wrapper
def test_a_call_leaves_the_parameters_as_they_are(name):
  layer, variables = ready(name)
  _, after = layer.apply(variables, X, update_stats=True, mutable=True)
  reference.assert_trees_close(after['params'], variables['params'], rtol=0)


@every_wrapper
def test_other_arguments_go_to_the_layer(name):
  layer, variables = ready(name)
  y = layer.apply(variables, X, update_stats=False)
  for args, kwargs in (((2,), {}), ((), {'factor': 2})):
    doubled = layer.apply(variables, X, *args, update_stats=False, **kwargs)
    np.testing.assert_array_equal(doubled, 2 * y)


KERNELS = {
  'zero': np.zeros((3, 4), np.float32),
  'zero_column': KERNEL * (np.arange(4) != 1),
  'constant': np.full((3, 4), 0.3, np.float32),
  'large': KERNEL * np.float32(1e10),
  'small': KERNEL * np.float32(1e-10),
  'tiny': KERNEL * np.float32(1e-30),
}


@every_wrapper
@pytest.mark.parametrize('kind', KERNELS)
@pytest.mark.parametrize('epsilon', [None, 0.0])
def test_degenerate_kernels_have_finite_values_and_gradients(
  name, kind, epsilon
):
  layer, variables = ready(
    name, **({} if epsilon is None else {'epsilon': 0.0})
  )
  w, gradients = value_and_gradients(layer, variables, KERNELS[kind], KERNEL)
  assert np.isfinite(w).all()
  if kind != 'tiny':  # That the gradient is 1e30, float32 can barely say.
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@every_wrapper
def test_one_value_per_output_is_finite(name):
  x = np.ones((2, 1), np.float32)
  layer = WRAPPERS[name](Capture())
  variables = layer.init(jax.random.key(0), x, update_stats=False)

  def total(params):
    variables_ = {**variables, 'params': params}
    return jnp.square(layer.apply(variables_, x, update_stats=False)).sum()

  value, gradients = jax.value_and_grad(total)(variables['params'])
  for leaf in (value, *jax.tree.leaves(gradients)):
    assert np.isfinite(leaf).all()


@every_wrapper
def test_half_precision_kernels_are_normalized_in_float32(name):
  layer, variables = ready(name)
  # The squares of these overflow.
  kernel = jnp.asarray(np.clip(KERNEL, -2, 2) * 3e4, 'float16')
  assert abs(kernel).max() > 3e4
  w, _ = value_and_gradients(layer, variables, kernel, KERNEL)
  full = kernel.astype(jnp.float32)
  desired, _ = value_and_gradients(layer, variables, full, KERNEL)
  rtol = 1e-6 if w.dtype == np.float32 else jnp.finfo('float16').eps
  np.testing.assert_allclose(w.astype(jnp.float32), desired, rtol=rtol)


@every_wrapper
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_the_kernel_has_the_dtype_asked_for(name, dtype):
  layer, variables = ready(name)
  w = effective(layer.clone(dtype=dtype), variables, KERNEL)
  assert w.dtype == dtype


# The vectors of SpectralNorm are constants: test_spectral.py has this test.
@pytest.mark.parametrize('name', [n for n in WRAPPERS if n != 'spectral'])
def test_hessian_vector_products_are_differences_of_gradients(name):
  layer, variables = ready(name)
  tangent = reference.normal(KERNEL.shape, seed=2)

  @jax.jit
  def gradient(kernel):
    def loss(k):
      return jnp.sin(effective(layer, variables, k)).sum()

    return jax.grad(loss)(kernel)

  _, product = jax.jvp(gradient, (KERNEL,), (tangent,))
  step = 1e-2
  ahead, behind = (gradient(KERNEL + s * tangent) for s in (step, -step))
  np.testing.assert_allclose(
    product, (ahead - behind) / (2 * step), rtol=0.02, atol=2e-3
  )


@every_wrapper
def test_only_parameters_are_normalized(name):
  class Stateful(nn.Module):
    @nn.compact
    def __call__(self, x):
      kernel = self.variable('batch_stats', 'kernel', lambda: jnp.eye(3) * 7)
      if not self.is_initializing():
        kernel.value += 1
      return nn.Dense(3)(x) + 0 * kernel.value.sum()

  layer = WRAPPERS[name](Stateful())
  variables = layer.init(jax.random.key(0), X, update_stats=False)
  _, after = layer.apply(
    variables, X, update_stats=True, mutable=['batch_stats']
  )
  state = after['batch_stats']['layer_instance']['kernel']
  np.testing.assert_array_equal(state, np.eye(3, dtype=np.float32) * 7 + 1)


@every_wrapper
def test_a_kernel_may_be_anywhere_in_a_module(name):
  class Pair(nn.Module):
    @nn.compact
    def __call__(self, x):
      return nn.Dense(3, name='second')(nn.Dense(4, name='first')(x))

  layer = WRAPPERS[name](Pair())
  variables = layer.init(jax.random.key(0), X, update_stats=False)
  apply = functools.partial(layer.apply, update_stats=False)
  y = apply(variables, X)
  # Neither kernel has a length that matters.
  longer = jax.tree.map(lambda leaf: 100 * leaf, variables['params'])
  params = {**variables['params'], 'layer_instance': longer['layer_instance']}
  scaled = apply({**variables, 'params': params}, X)
  np.testing.assert_allclose(scaled, y, rtol=1e-3, atol=1e-3)


@every_wrapper
def test_a_layer_without_a_kernel_is_a_value_error(name):
  layer = WRAPPERS[name](nn.LayerNorm())
  pattern = (
    rf'^{type(layer).__name__}: layer_instance=LayerNorm\(\) must have a .*'
    'kernel.*; its parameters are .*bias.*scale'
  )
  with pytest.raises(ValueError, match=pattern):
    layer.init(jax.random.key(0), X, update_stats=False)


@every_wrapper
def test_a_negative_epsilon_is_a_value_error(name):
  layer = WRAPPERS[name](Capture(), epsilon=-1e-3)
  pattern = rf'^{type(layer).__name__}: epsilon=-0.001 must not be negative'
  with pytest.raises(ValueError, match=pattern):
    layer.init(jax.random.key(0), X, update_stats=False)


@pytest.mark.parametrize('inner', ['weight', 'weight_standardization'])
@pytest.mark.parametrize('spectral_inside', [False, True])
def test_of_nested_norms_the_inner_one_comes_last(inner, spectral_inside):
  if spectral_inside:
    layer = WRAPPERS[inner](norms.SpectralNorm(Capture()))
  else:
    layer = norms.SpectralNorm(WRAPPERS[inner](Capture()))
  variables = layer.init(jax.random.key(0), X, update_stats=False)
  for _ in range(10):
    w, state = layer.apply(
      variables, X, update_stats=True, mutable=['batch_stats']
    )
    variables = {**variables, **state}
  if spectral_inside:
    np.testing.assert_allclose(np.linalg.norm(w, 2), 1, rtol=1e-3)
  elif inner == 'weight':
    np.testing.assert_allclose(np.linalg.norm(w, axis=0), 1, rtol=1e-3)
  else:
    np.testing.assert_allclose(np.std(w, 0), 1, rtol=1e-3)
