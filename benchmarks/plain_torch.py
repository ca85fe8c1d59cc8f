"""The same models in PyTorch, channels last; imported where it is installed."""

from collections.abc import Callable

import jax
import numpy as np
import torch
from torch import nn

from benchmarks.timing import Stepper
from normlab.models import inception
from normlab.runtime import machine


def device() -> str | None:
  """PyTorch's name of the device that JAX uses; None if it has none.

  On a CPU, PyTorch is given the cores of this process.
  """
  if jax.default_backend() == 'cpu':
    torch.set_num_threads(len(machine.usable_cores()))
    return 'cpu'
  is_gpu = jax.default_backend() == 'gpu' and torch.cuda.is_available()
  return 'cuda' if is_gpu else None


def wait(result: object) -> None:
  """Waits for the GPU; on the CPU a call returns when it is done."""
  del result
  if torch.cuda.is_initialized():
    torch.cuda.synchronize()


def conv(
  channels: int, size: int, strides: int = 1, act: bool = True
) -> nn.Module:
  """Convolution, BatchNorm, ReLU."""
  layers = [
    nn.LazyConv2d(channels, size, strides, size // 2, bias=False),
    nn.LazyBatchNorm2d(),
  ]
  return nn.Sequential(*layers, *([nn.ReLU()] if act else []))


def classifier(*layers: nn.Module) -> nn.Module:
  """The layers, mean pooling, and 10 logits."""
  return nn.Sequential(
    *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(10)
  )


class Branches(nn.Module):
  """Runs branches on the same input, and joins their channels."""

  def __init__(self, *branches: nn.Module):
    """Takes the branches in the order of their channels."""
    super().__init__()
    self.branches = nn.ModuleList(branches)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Maps [batch, channels, height, width]."""
    return torch.cat([branch(x) for branch in self.branches], dim=1)


class TorchResidualBlock(nn.Module):
  """y = relu(branch(x) + x), x projected where the shapes differ."""

  def __init__(self, channels: int, strides: int, project: bool):
    """The block to `channels`."""
    super().__init__()
    self.branch = nn.Sequential(
      conv(channels, 3, strides), conv(channels, 3, act=False)
    )
    shortcut = conv(channels, 1, strides, act=False)
    self.shortcut = shortcut if project else nn.Identity()

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Maps [batch, channels, height, width]."""
    return nn.functional.relu(self.branch(x) + self.shortcut(x))


def cnn(widths: tuple[int, ...]) -> nn.Module:
  """`models.CNN`."""
  layers = [conv(w, 3, 1 if i == 0 else 2) for i, w in enumerate(widths)]
  return classifier(*layers)


def small_inception(width: float) -> nn.Module:
  """`models.Inception`."""

  def scaled(channels: int, size: int, strides: int = 1) -> nn.Module:
    return conv(max(1, round(channels * width)), size, strides)

  layers = [scaled(inception.STEM, 3)]
  for stage in inception.STAGES:
    for channels in stage:
      if isinstance(channels, int):
        branches = scaled(channels, 3, 2), nn.MaxPool2d(3, 2, 1)
      else:
        branches = scaled(channels[0], 1), scaled(channels[1], 3)
      layers.append(Branches(*branches))
  return classifier(*layers)


def resnet18(small_images: bool) -> nn.Module:
  """`models.ResNet18` for small images, the only ones here."""
  assert small_images
  blocks = [
    TorchResidualBlock(64 * 2**stage, 2 if first else 1, project=first)
    for stage in range(4)
    for first in (stage > 0, False)
  ]
  return classifier(conv(64, 3), *blocks)


NETWORKS: dict[str, Callable[..., nn.Module]] = {
  'cnn': cnn,
  'inception': small_inception,
  'resnet18': resnet18,
}


def stepper(
  model: nn.Module, images: np.ndarray, labels: np.ndarray, batch_size: int
) -> Stepper:
  """Makes steps of SGD with momentum, one per call, on random batches.

  On a GPU the model is compiled, all examples are on the device, and float32 is
  multiplied as TF32, as it is by JAX.

  Args:
    model: maps [batch, channels, height, width] to logits.
    images: float32 [examples, height, width, channels], standardized.
    labels: int32 [examples].
  """
  where = device()
  # A view with the channels' axis moved is an array in channels-last layout.
  x = torch.from_numpy(images).permute(0, 3, 1, 2)
  model(x[:2])  # Shapes the lazy layers.
  model = model.to(where, memory_format=torch.channels_last).train()
  x, y = x.to(where), torch.from_numpy(labels).to(where).long()
  optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
  forward = model
  if where == 'cuda':
    torch.set_float32_matmul_precision('high')
    torch.backends.cudnn.allow_tf32 = True
    forward = torch.compile(model)

  def call() -> torch.Tensor:
    rows = torch.randint(0, len(y), (batch_size,), device=where)
    optimizer.zero_grad(set_to_none=True)
    loss = nn.functional.cross_entropy(forward(x[rows]), y[rows])
    loss.backward()
    optimizer.step()
    return loss.detach()

  return Stepper(call, wait)
