"""Forward order: the layers of a network, as its forward pass calls them."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from normlab.norms.core import calls
from normlab.program import training_step

KERNEL = 'kernel'


class KernelLayer(NamedTuple):
  """A module that owns a kernel, and what stands between it and the next.

  Attributes:
    name: the shortest path that holds no other kernel: 'layer2' of the mlp,
      whose kernel is 'layer2/dense/kernel'.
    kernel: path of the kernel.
    parameters: paths of the kernel, the bias, and the parameters of norms after
      this kernel and before the next one.
  """

  name: str
  kernel: str
  parameters: frozenset[str]


@functools.lru_cache(maxsize=32)
def layers(
  model: nn.Module, image_shape: tuple[int, ...]
) -> tuple[KernelLayer, ...]:
  """The layers in the order in which the forward pass calls them.

  Layers beside each other (the branches of Inception) are in the order of their
  calls too; one that is called again keeps its first place. Traces the model,
  computes nothing.

  Args:
    image_shape: [height, width, channels].
  """
  ended, params = _trace(model, image_shape)
  kernels = [
    path for p in ended if (path := f'{p}/{KERNEL}'.lstrip('/')) in params
  ]
  owned: dict[str, set[str]] = {path: set() for path in kernels}
  owners = {path: _owner(path, ended) for path in params}
  current = 0
  for module in ended:
    own = {path for path, owner in owners.items() if owner == module}
    if own & owned.keys():
      current = kernels.index(*(own & owned.keys()))
    # Parameters in front of the first kernel count as part of its layer.
    owned[kernels[current]] |= own
  return tuple(
    KernelLayer(_name(kernel, kernels), kernel, frozenset(owned[kernel]))
    for kernel in kernels
  )


def _trace(
  model: nn.Module, image_shape: tuple[int, ...]
) -> tuple[list[str], list[str]]:
  """Paths of the modules as their calls end, and of the parameters.

  As they end, because a norm of a kernel calls the layer that it wraps, and
  belongs to it.
  """
  ended: dict[str, None] = {}

  def note(module: nn.Module, call: Any, *args: Any, **kwargs: Any) -> Any:
    result = call(*args, **kwargs)
    ended.setdefault('/'.join(module.path))
    return result

  images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
  with calls.replaced(note):
    # A function of its own, as JAX does not trace the same one again.
    variables = jax.eval_shape(
      lambda x: model.init(jax.random.key(0), x, train=False), images
    )
  leaves = training_step.named_leaves(variables['params'])
  return list(ended), [path for path, _ in leaves]


def _owner(parameter: str, modules: list[str]) -> str:
  """The innermost module that was called and holds a parameter."""
  holders = [m for m in modules if not m or parameter.startswith(f'{m}/')]
  return max(holders, key=len)


def _name(kernel: str, kernels: list[str]) -> str:
  parts = kernel.split('/')
  prefixes = ['/'.join(parts[:i]) for i in range(1, len(parts) + 1)]
  return next(
    prefix
    for prefix in prefixes
    if sum(f'{other}/'.startswith(f'{prefix}/') for other in kernels) == 1
  )
