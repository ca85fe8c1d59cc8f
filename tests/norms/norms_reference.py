"""What the norms compute, stated in float64 NumPy; and small inputs."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np

# Derandomized: a test that fails now and then is worth less than one that never
# does. No deadline: the first example compiles.
FEW = hypothesis.settings(max_examples=20, deadline=None, derandomize=True)
# Of a result of about one; half precision is rounded on the way too.
PRECISION = {
  'float64': 1e-9,
  'float32': 2e-5,
  'float16': 4e-3,
  'bfloat16': 3e-2,
}


def normal(shape, seed=0, mean=0.0, std=1.0):
  values = np.random.default_rng(seed).normal(mean, std, shape)
  return values.astype(np.float32)


def moments(x, axes, mask=None, center=True):
  """Mean, variance and count; 0, 1, 0 where there is no value."""
  x = np.asarray(x, np.float64)
  axes = tuple(axes)
  mask = np.broadcast_to(True if mask is None else mask, x.shape)
  count = mask.sum(axes, keepdims=True)

  def average(values):
    total = np.where(mask, values, 0).sum(axes, keepdims=True)
    return total / np.maximum(count, 1)

  mean = average(x) if center else np.zeros_like(average(x))
  var = np.where(count > 0, average((x - mean) ** 2), 1)
  return mean, var, count


def assert_moments_close(
  actual, x, axes, mask=None, center=True, *, rtol=1e-4, atol=1e-6
):
  mean, var, count = moments(x, axes, mask, center)
  np.testing.assert_allclose(actual.mean, mean, rtol=1e-6, atol=1e-6)
  np.testing.assert_allclose(actual.var, var, rtol=rtol, atol=atol)
  np.testing.assert_array_equal(
    np.broadcast_to(actual.count, count.shape), count
  )


def standardized(x, axes, *, epsilon, mask=None, center=True):
  mean, var, _ = moments(x, axes, mask, center)
  return (np.asarray(x, np.float64) - mean) / np.sqrt(var + epsilon)


def randomized(layer, x, seed=0):
  """`drawn` of a norm of activations, before its first update."""
  return drawn(layer, x, seed=seed, use_running_average=False)


def drawn(module, *args, seed=0, updates=0, **kwargs):
  """Variables of the module's own shapes, with no value at its neutral one."""
  init = functools.partial(module.init, **kwargs)
  shapes = jax.eval_shape(init, jax.random.key(0), *args)
  generator = np.random.default_rng(seed)

  def leaf(path, shape):
    if not jnp.issubdtype(shape.dtype, jnp.floating):
      return jnp.full(shape.shape, updates, shape.dtype)
    signed = path[-1].key in ('mean', 'bias', 'kernel')
    low, high = (-1, 1) if signed else (0.5, 2)
    return jnp.asarray(generator.uniform(low, high, shape.shape), shape.dtype)

  return jax.tree_util.tree_map_with_path(leaf, shapes)


def training(layer, variables, x, **kwargs):
  """The output of a training call, and the variables after it."""
  y, state = layer.apply(
    variables,
    x,
    use_running_average=False,
    mutable=['batch_stats'],
    **{'rngs': {'noise': jax.random.key(0)}, **kwargs},
  )
  return y, {**variables, **state}


# A layer is hashable by value. A program costs less than its operations do one
# by one, except where they are compiled for the same shape already.
compiled = functools.partial(jax.jit, static_argnums=0)
train = compiled(training)


@compiled
def evaluate(layer, variables, x, **kwargs):
  return layer.apply(variables, x, use_running_average=True, **kwargs)


@compiled
def gradients(layer, variables, x, cotangent, **kwargs):
  """Gradients of sum(y * cotangent) for the parameters and the input."""

  def loss(params, x):
    y, _ = training(layer, {**variables, 'params': params}, x, **kwargs)
    return (y * cotangent).sum()

  return jax.grad(loss, (0, 1))(variables.get('params', {}), x)


def assert_trees_close(actual, desired, **tolerance):
  assert jax.tree.structure(actual) == jax.tree.structure(desired)
  for path, leaf in jax.tree_util.tree_leaves_with_path(actual):
    other = functools.reduce(lambda tree, key: tree[key.key], path, desired)
    np.testing.assert_allclose(leaf, other, err_msg=str(path), **tolerance)


def assert_precise(actual, desired, precision):
  """Equal arrays, in digits of each value or, where they are small, of one."""
  desired = np.asarray(desired, np.float64)
  np.testing.assert_allclose(
    np.asarray(actual, np.float64),
    desired,
    rtol=precision,
    atol=precision * max(1, abs(desired).max()),
  )
