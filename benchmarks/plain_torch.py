"""The same models in PyTorch, channels last; imported where it is installed."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from benchmarks.timing import Stepper
from normlab.models import inception
from normlab.sweeps.runners import processes


class ConvNorm(nn.Sequential):
  """Convolution, BatchNorm."""

  def __init__(self, inputs: int, outputs: int, size: int, strides: int = 1):
    """The layer from `inputs` to `outputs` channels."""
    super().__init__(
      nn.Conv2d(inputs, outputs, size, strides, size // 2, bias=False),
      nn.BatchNorm2d(outputs),
    )


class ConvNormAct(ConvNorm):
  """Convolution, BatchNorm, ReLU."""

  def __init__(self, inputs: int, outputs: int, size: int, strides: int = 1):
    """The layer from `inputs` to `outputs` channels."""
    super().__init__(inputs, outputs, size, strides)
    self.append(nn.ReLU())


class Branches(nn.Module):
  """Runs branches on the same input, and joins their channels."""

  def __init__(self, *branches: nn.Module):
    """Takes the branches in the order of their channels."""
    super().__init__()
    self.branches = nn.ModuleList(branches)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Maps [batch, channels, height, width]."""
    return torch.cat([branch(x) for branch in self.branches], dim=1)


def head(channels: int) -> list[nn.Module]:
  """Mean pooling and the classifier."""
  pool = nn.AdaptiveAvgPool2d(1)
  return [pool, nn.Flatten(), nn.Linear(channels, 10)]


def cnn(channels: int, widths: tuple[int, ...]) -> nn.Module:
  """`models.CNN`."""
  layers: list[nn.Module] = []
  for i, width in enumerate(widths):
    layers.append(ConvNormAct(channels, width, 3, 1 if i == 0 else 2))
    channels = width
  return nn.Sequential(*layers, *head(channels))


def small_inception(channels: int, width: float) -> nn.Module:
  """`models.Inception`."""

  def scaled(features: int) -> int:
    return max(1, round(features * width))

  stem = scaled(inception.STEM)
  layers: list[nn.Module] = [ConvNormAct(channels, stem, 3)]
  channels = stem
  for stage in inception.STAGES:
    for features in stage:
      if isinstance(features, int):
        conv = ConvNormAct(channels, scaled(features), 3, 2)
        layers.append(Branches(conv, nn.MaxPool2d(3, 2, 1)))
        channels += scaled(features)
      else:
        one, three = map(scaled, features)
        layers.append(
          Branches(
            ConvNormAct(channels, one, 1), ConvNormAct(channels, three, 3)
          )
        )
        channels = one + three
  return nn.Sequential(*layers, *head(channels))


class ResidualBlock(nn.Module):
  """y = relu(branch(x) + x), x projected where the shapes differ."""

  def __init__(self, inputs: int, channels: int, strides: int):
    """The block from `inputs` to `channels`."""
    super().__init__()
    self.branch = nn.Sequential(
      ConvNormAct(inputs, channels, 3, strides), ConvNorm(channels, channels, 3)
    )
    self.shortcut = nn.Identity()
    if strides != 1 or inputs != channels:
      self.shortcut = ConvNorm(inputs, channels, 1, strides)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Maps [batch, inputs, height, width]."""
    return nn.functional.relu(self.branch(x) + self.shortcut(x))


def resnet18(channels: int) -> nn.Module:
  """`models.ResNet18` for small images."""
  layers: list[nn.Module] = [ConvNormAct(channels, 64, 3)]
  inputs = 64
  for stage in range(4):
    for block in range(2):
      outputs = 64 * 2**stage
      strides = 2 if stage > 0 and block == 0 else 1
      layers.append(ResidualBlock(inputs, outputs, strides))
      inputs = outputs
  return nn.Sequential(*layers, *head(inputs))


NETWORKS: dict[str, Callable[..., nn.Module]] = {
  'cnn': cnn,
  'inception': small_inception,
  'resnet18': resnet18,
}


def stepper(
  model: nn.Module, images: np.ndarray, labels: np.ndarray, batch_size: int
) -> Stepper:
  """Makes steps of SGD with momentum, a call each, on random batches.

  On a GPU the model is compiled, all examples are on the device, and float32 is
  multiplied as TF32, as it is by JAX.

  Args:
    model: maps [batch, channels, height, width] to logits.
    images: float32 [examples, height, width, channels], standardized.
    labels: int32 [examples].
    batch_size: examples a step.
  """
  device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
  model = model.to(device, memory_format=torch.channels_last).train()
  # A view with the channels' axis moved is an array in channels-last layout.
  x = torch.from_numpy(images).to(device).permute(0, 3, 1, 2)
  y = torch.from_numpy(labels).to(device).long()
  optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
  forward, wait = model, lambda: None
  if device.type == 'cuda':
    torch.set_float32_matmul_precision('high')
    torch.backends.cudnn.allow_tf32 = True
    forward, wait = torch.compile(model), torch.cuda.synchronize
  else:
    torch.set_num_threads(len(processes.usable_cores()))

  def call() -> torch.Tensor:
    rows = torch.randint(0, len(y), (batch_size,), device=device)
    optimizer.zero_grad(set_to_none=True)
    loss = nn.functional.cross_entropy(forward(x[rows]), y[rows])
    loss.backward()
    optimizer.step()
    return loss.detach()

  return Stepper(call, wait)
