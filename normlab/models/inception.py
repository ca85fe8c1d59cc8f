"""The small Inception of Zhang et al. 2017 (arXiv:1611.03530, appendix A)."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from normlab.models import blocks, networks
from normlab.models.ops import pools

# Channels of each stage: pairs (1x1, 3x3) are modules, single numbers are the
# strided convolutions of the downsampling modules.
STEM = 96
STAGES = (
  ((32, 32), (32, 48), 80),
  ((112, 48), (96, 64), (80, 80), (48, 96), 96),
  ((176, 160), (176, 160)),
)


class Inception(networks.ConvNet):
  """Inception for images of about 28x28 to 32x32; smaller and odd ones work.

  The fields are those of `ConvNet`.
  """

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps images [batch, height, width, channels] to logits."""
    x = self.conv(STEM, 3, name='stem')(x, train=train)
    for i, stage in enumerate(STAGES, start=1):
      for j, channels in enumerate(stage, start=1):
        name = f'stage{i}_module{j}'
        if isinstance(channels, int):
          x = self.downsample(x, channels, f'stage{i}_downsample', train)
        else:
          x = self.module(x, channels, name, train)
    x = blocks.pooled(x)
    return blocks.classifier(x, self.num_classes, self.dropout, train=train)

  def module(
    self, x: jax.Array, channels: tuple[int, int], name: str, train: bool
  ) -> jax.Array:
    """A 1x1 beside a 3x3 convolution."""
    branches = [
      self.conv(features, size, name=f'{name}_{size}x{size}')(x, train=train)
      for features, size in zip(channels, (1, 3), strict=True)
    ]
    return jnp.concatenate(branches, axis=-1)

  def downsample(
    self, x: jax.Array, channels: int, name: str, train: bool
  ) -> jax.Array:
    """A 3x3 convolution beside a 3x3 max pool, both with stride 2."""
    conv = self.conv(channels, 3, 2, name=f'{name}_3x3')(x, train=train)
    return jnp.concatenate([conv, pools.max_pool(x)], axis=-1)
