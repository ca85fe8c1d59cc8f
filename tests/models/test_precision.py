import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from traced_models import PAIRS, build, norm_factory, traced

from normlab import models, norms
from normlab.models import blocks, resnet

BLOCKS = (blocks.ConvNormAct, blocks.DenseNormAct, resnet.ResidualBlock)
FULL = ('', 'dropout', 'logits')


@pytest.mark.parametrize('name, norm', PAIRS)
def test_variables_and_logits_are_float32_in_bfloat16(name, norm):
  seen = traced(name, norm)
  assert seen.logits.dtype == jnp.float32
  for collection, arrays in seen.variables.items():
    dtypes = {
      array.dtype
      for path, array in arrays.items()
      if not path.endswith('/step')
    }
    assert dtypes == {jnp.dtype('float32')}, collection


@pytest.mark.parametrize('name, norm', PAIRS)
def test_layers_and_blocks_return_bfloat16(name, norm):
  seen = traced(name, norm)
  paths = [
    path
    for path, module in seen.modules.items()
    if path not in FULL and isinstance(module, (nn.Conv, nn.Dense, *BLOCKS))
  ]
  assert paths
  for path in paths:
    assert seen.outputs[path].dtype == jnp.bfloat16, path


def test_float32_is_the_default():
  for name in models.MODELS:
    assert build(name) == build(name, dtype='float32')
    assert build(name) != build(name, dtype='bfloat16')


class ShortResNet(resnet.ResNet):
  """A residual block, and one with a projection."""

  depths = (1, 1)
  branch = staticmethod(resnet.basic)


def test_bfloat16_logits_are_near_those_of_float32():
  x = np.random.default_rng(1).normal(0, 1, (8, 8, 8, 1)).astype(np.float32)
  full, half = (
    ShortResNet(10, norm_factory('batch'), width=1 / 16, dtype=dtype)
    for dtype in models.DTYPES.values()
  )

  @jax.jit
  def logits(x):
    variables = full.init(jax.random.key(0), x, train=False)
    return [
      model.apply(variables, x, train=True, mutable='batch_stats')[0]
      for model in (full, half)
    ]

  desired, y = logits(x)
  # Eight bits, and more errors a layer.
  assert 0 < jnp.std(y - desired) < 0.03 * desired.std()


@pytest.mark.parametrize('norm', norms.KERNEL_NORMS)
def test_kernels_are_normalized_in_float32_and_rounded_once(norm):
  kernel_norm = norm_factory(norm).kernel_norm

  @jax.jit
  def kernels():
    full, half = (
      blocks.DenseNormAct(
        4, kernel_norm=kernel_norm, activation=abs, dtype=dtype
      )
      for dtype in models.DTYPES.values()
    )
    x = jnp.eye(6)
    variables = full.init(jax.random.key(0), x, train=False)
    return [layer.apply(variables, x, train=False) for layer in (full, half)]

  exact, y = kernels()
  np.testing.assert_array_equal(y, exact.astype(jnp.bfloat16))
