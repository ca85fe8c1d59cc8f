"""Which networks are timed, at which size, and on which examples."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

EXAMPLES = 1_024
# Examples a step: a core has more to do with fewer, an accelerator with more.
BATCH_SIZES = {'cpu': 32}
BATCH_SIZE_ELSEWHERE = 128


class Examples(NamedTuple):
  """Random images, as our trainer has them and as a plain loop has them.

  Attributes:
    pixels: uint8 [examples, height, width, channels].
    floats: float32 of that shape, standardized.
    labels: int32 [examples].
  """

  pixels: np.ndarray
  floats: np.ndarray
  labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Case:
  """A network to time.

  Attributes:
    row: its name in the table.
    model: its name in `models.MODELS`.
    size: height and width of the images, in pixels.
    channels: of the images.
    fields: of the model, for ours.
    plain: arguments of the plain networks, for the same.
    steps: a turn, on a CPU.
    rounds: turns of each candidate.
  """

  row: str
  model: str
  size: int
  channels: int
  fields: Mapping[str, Any]
  plain: tuple[Any, ...] = ()
  steps: int = 1
  rounds: int = 7

  def examples(self, count: int = EXAMPLES) -> Examples:
    """Random pixels, with the labels in turn."""
    shape = (count, self.size, self.size, self.channels)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    floats = (pixels.astype(np.float32) / 255 - 0.5) / 0.29
    return Examples(pixels, floats, (np.arange(count) % 10).astype(np.int32))


WIDTHS = (32, 64, 128)
CNN = {'model': 'cnn', 'fields': {'widths': WIDTHS}, 'plain': (WIDTHS,)}
INCEPTION = {
  'model': 'inception',
  'fields': {'width': 1 / 6},
  'plain': (1 / 6,),
}
RESNET = {'model': 'resnet18', 'fields': {'small_images': True}}

CASES = (
  Case('cnn, digits size', size=8, channels=1, **CNN, steps=50),
  Case('inception 1/6, digits size', size=8, channels=1, **INCEPTION, steps=25),
  Case('cnn, CIFAR size', size=32, channels=3, **CNN, steps=5, rounds=5),
  Case(
    'inception 1/6, CIFAR size',
    size=32,
    channels=3,
    **INCEPTION,
    steps=3,
    rounds=5,
  ),
  Case('resnet18, CIFAR size', size=32, channels=3, **RESNET, rounds=3),
)


def batch_size() -> int:
  """Examples a step, on the device that JAX uses."""
  return BATCH_SIZES.get(jax.default_backend(), BATCH_SIZE_ELSEWHERE)


def find(row: str) -> Case:
  """The case with this name."""
  return {case.row: case for case in CASES}[row]
