"""PyTorch's norms on the same numbers; imported only where it is installed."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import torch
from flax import linen as nn
from torch.nn import functional

from benchmarks import plain_torch
from benchmarks.norms_jax import BOTH, FORWARD, Data

Tensors = Mapping[str, torch.Tensor]

# [batch, channels, height, width] in the order of the memory.
LAYOUTS = {
  'channels last': torch.channels_last,
  'contiguous': torch.contiguous_format,
}
# These two normalize the last axis, which is then the channels' own.
LAST_AXIS = ('layer', 'rms')
# (our layer, x, its parameters and running statistics) -> y, by row of the
# table. PyTorch's momentum is the share of the new value.
NORMS: Mapping[str, Callable[[Any, torch.Tensor, Tensors], torch.Tensor]] = {
  'batch': lambda layer, x, w: functional.batch_norm(
    *(x, w['mean'], w['var'], w['scale'], w['bias']),
    training=True,
    momentum=1 - layer.momentum,
    eps=layer.epsilon,
  ),
  'layer': lambda layer, x, w: functional.layer_norm(
    x, x.shape[-1:], w['scale'], w['bias'], layer.epsilon
  ),
  # PyTorch's LayerNorm of whole examples has no scale per channel.
  'layer, example': lambda layer, x, w: functional.group_norm(
    x, 1, w['scale'], w['bias'], layer.epsilon
  ),
  'group': lambda layer, x, w: functional.group_norm(
    x, layer.groups_of(x.shape[1]), w['scale'], w['bias'], layer.epsilon
  ),
  'instance': lambda layer, x, w: functional.instance_norm(
    x, weight=w['scale'], bias=w['bias'], eps=layer.epsilon
  ),
  'rms': lambda layer, x, w: functional.rms_norm(
    x, x.shape[-1:], w['scale'], layer.epsilon
  ),
}


def passes(
  row: str, layer: nn.Module, variables: Mapping[str, Mapping], data: Data
) -> dict[str, dict[str, Callable[[], object]]]:
  """Both passes of a layer in each layout that it can take.

  Args:
    row: a key of `NORMS`, or a norm that PyTorch lacks.
    variables: those of `layer`; copied.

  Returns:
    By layout, then by pass: 'forward' gives y, 'forward + backward' (y,
    (gradients of the parameters, by name, gradient of x)). Empty if PyTorch
    lacks the norm, or the device that JAX uses.
  """
  device = plain_torch.device()
  if row not in NORMS or device is None:
    return {}
  x, cotangent = (tensor(a).to(device) for a in (data.x, data.cotangent))
  # PyTorch's kernels want weights in the input's precision, and BatchNorm's
  # want float32.
  dtype = x.dtype if row != 'batch' else torch.float32
  weights = {
    name: tensor(value).to(device, dtype)
    for collection in variables.values()
    for name, value in collection.items()
  }
  trained = [*variables['params']]
  for name in trained:
    weights[name].requires_grad_()
  norm = functools.partial(NORMS[row], layer, w=weights)
  if row in LAST_AXIS:
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
      FORWARD: functools.partial(torch.no_grad()(norm), x),
      BOTH: functools.partial(both, norm, weights, trained, x, cotangent),
    }
    for layout, (x, cotangent) in arrays.items()
  }


def both(
  norm: Callable[[torch.Tensor], torch.Tensor],
  weights: Tensors,
  trained: list[str],
  x: torch.Tensor,
  cotangent: torch.Tensor,
) -> tuple[torch.Tensor, tuple[dict[str, torch.Tensor], torch.Tensor]]:
  """The output and all gradients; `trained` names the parameters."""
  x = x.detach().requires_grad_()
  y = norm(x)
  inputs = [x, *(weights[name] for name in trained)]
  gradient, *others = torch.autograd.grad(y, inputs, cotangent)
  return y.detach(), (dict(zip(trained, others, strict=True)), gradient)


def tensor(array: jax.Array) -> torch.Tensor:
  """A copy in the same dtype; NumPy has no bfloat16 that PyTorch can read."""
  values = torch.from_numpy(np.array(array, np.float32))
  return values.to(getattr(torch, array.dtype.name))
