"""PyTorch's norms on the same numbers; imported where it is installed."""

import functools
from collections.abc import Callable, Mapping

import jax
import numpy as np
import torch
from flax import linen as nn
from torch.nn import functional

from benchmarks.norms_flax import BOTH, FORWARD, Data
from normlab.sweeps.runners import processes

Tensors = Mapping[str, torch.Tensor]

# [batch, channels, height, width] in the order of the memory.
LAYOUTS = {
  'channels last': torch.channels_last,
  'contiguous': torch.contiguous_format,
}


def batch_norm(layer: nn.Module, x: torch.Tensor, w: Tensors) -> torch.Tensor:
  """With the running statistics `mean` and `var` moved in place."""
  return functional.batch_norm(
    x,
    w['mean'],
    w['var'],
    w['scale'],
    w['bias'],
    training=True,
    momentum=1 - layer.momentum,  # The share of the new value, in PyTorch.
    eps=layer.epsilon,
  )


def layer_norm(layer: nn.Module, x: torch.Tensor, w: Tensors) -> torch.Tensor:
  """Over the last axis."""
  return functional.layer_norm(
    x, x.shape[-1:], w['scale'], w['bias'], layer.epsilon
  )


def rms_norm(layer: nn.Module, x: torch.Tensor, w: Tensors) -> torch.Tensor:
  """Over the last axis."""
  return functional.rms_norm(x, x.shape[-1:], w['scale'], layer.epsilon)


def example_norm(layer: nn.Module, x: torch.Tensor, w: Tensors) -> torch.Tensor:
  """LayerNorm of whole examples; PyTorch's own has no scale per channel."""
  return functional.group_norm(x, 1, w['scale'], w['bias'], layer.epsilon)


def group_norm(layer: nn.Module, x: torch.Tensor, w: Tensors) -> torch.Tensor:
  """In the groups of `layer`."""
  groups = layer.groups_of(x.shape[1])
  return functional.group_norm(x, groups, w['scale'], w['bias'], layer.epsilon)


def instance_norm(
  layer: nn.Module, x: torch.Tensor, w: Tensors
) -> torch.Tensor:
  """Without running statistics."""
  return functional.instance_norm(
    x, weight=w['scale'], bias=w['bias'], eps=layer.epsilon
  )


# By the names of the rows of `benchmarks.norms`.
NORMS: Mapping[str, Callable[..., torch.Tensor]] = {
  'batch': batch_norm,
  'layer': layer_norm,
  'layer, example': example_norm,
  'group': group_norm,
  'instance': instance_norm,
  'rms': rms_norm,
}


def passes(
  row: str, layer: nn.Module, variables: Mapping[str, Mapping], data: Data
) -> dict[str, dict[str, Callable[[], object]]]:
  """Both passes of a layer in each layout that it can take.

  Args:
    row: a key of `NORMS`, or another name: PyTorch does not have it.
    layer: this library's layer, whose fields are taken.
    variables: its variables; copied.
    data: copied to PyTorch's device.

  Returns:
    By layout, then by pass: 'forward' gives y, 'forward + backward' (y,
    (gradients of the parameters, by name, gradient of x)). Empty where PyTorch
    lacks the norm, or the device that JAX uses.
  """
  device = device_of(data.x)
  if row not in NORMS or device is None:
    return {}
  torch.set_num_threads(len(processes.usable_cores()))
  x, cotangent = (tensor(a).to(device) for a in (data.x, data.cotangent))
  weights = copied(variables, x.dtype if row != 'batch' else torch.float32)
  weights = {name: value.to(device) for name, value in weights.items()}
  trained = [name for name in weights if name in variables['params']]
  for name in trained:
    weights[name].requires_grad_()
  norm = functools.partial(NORMS[row], layer)
  if row in ('layer', 'rms'):  # They normalize the last axis as it lies.
    arrays = {'channels last': (x, cotangent)}
  else:
    arrays = {
      layout: [
        a.permute(0, 3, 1, 2).contiguous(memory_format=order)
        for a in (x, cotangent)
      ]
      for layout, order in LAYOUTS.items()
    }
  return {
    layout: {
      FORWARD: functools.partial(forward, norm, weights, x),
      BOTH: functools.partial(both, norm, weights, trained, x, cotangent),
    }
    for layout, (x, cotangent) in arrays.items()
  }


@torch.no_grad()
def forward(
  norm: Callable[..., torch.Tensor], weights: Tensors, x: torch.Tensor
) -> torch.Tensor:
  """The output; nothing is kept for a backward pass."""
  return norm(x, weights)


def both(
  norm: Callable[..., torch.Tensor],
  weights: Tensors,
  trained: list[str],
  x: torch.Tensor,
  cotangent: torch.Tensor,
) -> tuple[torch.Tensor, tuple[dict[str, torch.Tensor], torch.Tensor]]:
  """The output and all gradients."""
  x = x.detach().requires_grad_()
  y = norm(x, weights)
  inputs = [x, *(weights[name] for name in trained)]
  gradient, *others = torch.autograd.grad(y, inputs, cotangent)
  return y.detach(), (dict(zip(trained, others, strict=True)), gradient)


def wait(result: object) -> None:
  """Returns when everything that was asked for is done."""
  del result  # On the CPU a call returns when it is done.
  if torch.cuda.is_initialized():
    torch.cuda.synchronize()


def device_of(x: jax.Array) -> str | None:
  """PyTorch's name of the device that holds `x`; None where it has none."""
  platform = next(iter(x.devices())).platform
  if platform == 'cpu':
    return 'cpu'
  return 'cuda' if platform == 'gpu' and torch.cuda.is_available() else None


def tensor(array: jax.Array) -> torch.Tensor:
  """A copy in the same dtype; NumPy has no bfloat16 that PyTorch can read."""
  values = torch.from_numpy(np.array(array, np.float32))
  return values.to(getattr(torch, array.dtype.name))


def copied(
  variables: Mapping[str, Mapping], dtype: torch.dtype
) -> dict[str, torch.Tensor]:
  """Parameters and running statistics by their own names.

  In the input's precision, as PyTorch's kernels want them; those of BatchNorm
  take float32 only.
  """
  return {
    name: tensor(value).to(dtype)
    for collection in variables.values()
    for name, value in collection.items()
  }
