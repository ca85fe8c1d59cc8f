"""The full-size Inception of the BatchNorm paper (arXiv:1502.03167, fig. 5)."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from normlab.models import blocks, networks
from normlab.models.ops import pools

STEM_MULTIPLIER = 8
STEM = 64
CONV2 = (64, 192)


class Row(NamedTuple):
  """An Inception module: a row of the table in figure 5.

  Attributes:
    single: channels of the 1x1 convolution; () is none.
    conv: channels of a 1x1 and of the 3x3 convolution behind it.
    double: channels of a 1x1 and of each of two 3x3 convolutions behind it.
    pool: 'mean' or 'max'.
    projection: channels of the 1x1 convolution behind the pool; 0 passes the
      pooled input on, and the module has stride 2.
  """

  single: tuple[int, ...]
  conv: tuple[int, int]
  double: tuple[int, int, int]
  pool: str
  projection: int


MODULES = {
  'module3a': Row((64,), (64, 64), (64, 96, 96), 'mean', 32),
  'module3b': Row((64,), (64, 96), (64, 96, 96), 'mean', 64),
  'module3c': Row((), (128, 160), (64, 96, 96), 'max', 0),
  'module4a': Row((224,), (64, 96), (96, 128, 128), 'mean', 128),
  'module4b': Row((192,), (96, 128), (96, 128, 128), 'mean', 128),
  # The paper prints projections of 128 in 4c and 4d, see `BNInception`.
  'module4c': Row((160,), (128, 160), (128, 160, 160), 'mean', 96),
  'module4d': Row((96,), (128, 192), (160, 192, 192), 'mean', 96),
  'module4e': Row((), (128, 192), (192, 256, 256), 'max', 0),
  'module5a': Row((352,), (192, 320), (160, 224, 224), 'mean', 128),
  'module5b': Row((352,), (192, 320), (192, 224, 224), 'max', 128),
}


class BNInception(networks.ConvNet):
  """Inception for images of about 224x224; smaller and odd ones work.

  A separable 7x7 stem, a 3x3 convolution behind a 1x1, each with a max pool
  behind it, ten Inception modules, the mean over space. With BatchNorm and 1000
  classes it has 11,188,288 parameters; the paper says 13.6 million, to which
  its table does not add up (11,278,528 as printed).

  The table contradicts itself in the rows 4c and 4d: their branches sum to 608
  channels where 576 are printed, and then 4e gives 1056, not 1024. All printed
  sizes hold with 96 channels in their pool projections in place of 128, which
  is also what the network published by the authors' group has (`inception_v2`
  of TF-Slim). So it is here.

  Padding is 'SAME', as there. The fields are those of `ConvNet`; the stem's
  depthwise convolution, 8 channels for each of the image's, keeps its channels
  at any width, and its kernel is not normalized, as no norm is behind it.
  """

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps images [batch, height, width, channels] to logits."""
    x = self.stem(x, train)
    for name, row in MODULES.items():
      x = self.module(x, row, name, train)
    x = blocks.pooled(x)
    return blocks.classifier(x, self.num_classes, self.dropout, train=train)

  def stem(self, x: jax.Array, train: bool) -> jax.Array:
    """Up to the first module: [b, h, w, c] -> [b, h/8, w/8, 192]."""
    depthwise = nn.Conv(
      STEM_MULTIPLIER * x.shape[-1],
      (7, 7),
      2,
      feature_group_count=x.shape[-1],
      # The bias behind the 1x1 convolution is enough: between is no activation.
      use_bias=False,
      kernel_init=self.kernel_init,
      dtype=self.dtype,
      name='stem_depthwise',
    )
    x = self.conv(STEM, 1, name='stem')(depthwise(x), train=train)
    x = pools.max_pool(x)
    x = self.chain(x, CONV2, 'conv2', train)
    return pools.max_pool(x)

  def module(self, x: jax.Array, row: Row, name: str, train: bool) -> jax.Array:
    """The branches of a row, one behind the other in the channels."""
    strides = 1 if row.projection else 2
    branches = {'1x1': row.single, '3x3': row.conv, 'double3x3': row.double}
    results = [
      self.chain(x, channels, f'{name}_{branch}', train, strides)
      for branch, channels in branches.items()
      if channels
    ]
    if row.pool == 'mean':
      x = pools.mean_pool(x)
    else:
      x = pools.max_pool(x, strides=strides)
    if row.projection:
      x = self.conv(row.projection, 1, name=f'{name}_pool')(x, train=train)
    return jnp.concatenate([*results, x], axis=-1)

  def chain(
    self,
    x: jax.Array,
    channels: Sequence[int],
    name: str,
    train: bool,
    strides: int = 1,
  ) -> jax.Array:
    """A 1x1 convolution and 3x3 ones behind it; the last has the strides."""
    for i, features in enumerate(channels, start=1):
      size, last = 1 if i == 1 else 3, i == len(channels)
      conv = self.conv(
        features, size, strides if last else 1, name=f'{name}_layer{i}'
      )
      x = conv(x, train=train)
    return x
