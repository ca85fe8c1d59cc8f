"""The same models in PyTorch, channels last; imported where it is installed."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from normlab.models import inception


class ConvNormAct(nn.Sequential):
  """Convolution, BatchNorm, ReLU."""

  def __init__(self, inputs: int, outputs: int, size: int, strides: int = 1):
    """The layer from `inputs` to `outputs` channels."""
    super().__init__(
      nn.Conv2d(inputs, outputs, size, strides, size // 2, bias=False),
      nn.BatchNorm2d(outputs),
      nn.ReLU(),
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


def stepper(
  model: nn.Module, images: np.ndarray, labels: np.ndarray, batch_size: int
) -> Callable[[], object]:
  """A function that makes one step of SGD with momentum on the next batch.

  Args:
    model: maps [batch, channels, height, width] to logits.
    images: float32 [examples, height, width, channels], standardized.
    labels: int32 [examples].
    batch_size: examples a step.
  """
  model = model.to(memory_format=torch.channels_last).train()
  optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
  # A view with the channels' axis moved is an array in channels-last layout.
  x = torch.from_numpy(images).permute(0, 3, 1, 2)
  y = torch.from_numpy(labels).long()

  def run() -> None:
    rows = torch.randint(0, len(y), (batch_size,))
    optimizer.zero_grad(set_to_none=True)
    nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
    optimizer.step()

  return run
