"""No normalization: the control of every experiment."""

from typing import ClassVar

import jax
from flax import linen as nn


class Identity(nn.Module):
  """y = x. No fields, no parameters, no state."""

  replaces_bias: ClassVar[bool] = False

  def __call__(
    self,
    x: jax.Array,
    use_running_average: bool | None = None,
    *,
    mask: jax.Array | None = None,
  ) -> jax.Array:
    """Returns `x`; the other arguments are ignored."""
    del use_running_average, mask
    return x
