"""Examples of a streamed set to arrays: transformations of a grain pipeline."""

import dataclasses

import numpy as np

from normlab.data import images
from normlab.data.streaming.examples import Example, ExampleSource, WhileOpen


@dataclasses.dataclass(frozen=True)
class Augment:
  """Decodes an example for training: a random part of it, maybe mirrored.

  Attributes:
    examples: names the example in errors.
    size: height and width, in pixels.
    min_area: smallest share of the image that is taken.
    flip: mirrors left to right, with probability one half.
  """

  examples: ExampleSource
  size: int
  min_area: float
  flip: bool

  def __call__(
    self, example: Example, generator: np.random.Generator
  ) -> tuple[np.ndarray, int]:
    """Returns uint8 [size, size, 3] and the label."""
    try:
      image = images.random_crop(
        example.data, self.size, generator=generator, min_area=self.min_area
      )
    except Exception as error:  # Pillow's decoders raise what they like.
      raise self.examples.damaged(example.row, error) from error
    if self.flip and generator.random() < 0.5:
      image = image[:, ::-1]
    return image, example.label


@dataclasses.dataclass(frozen=True)
class Centre:
  """Reads and decodes an example for evaluation: its middle.

  Attributes:
    source: `examples`, while their stream is open.
    examples: names the example in errors.
    size: height and width of the result, in pixels.
    count: number of examples; what comes behind them is filling.
  """

  source: WhileOpen
  examples: ExampleSource
  size: int
  count: int

  def __call__(self, row: int) -> tuple[np.ndarray, int, bool]:
    """Returns uint8 [size, size, 3], the label, and whether it counts."""
    if row >= self.count:
      return np.zeros((self.size, self.size, 3), np.uint8), 0, False
    example = self.source[row]
    try:
      image = images.centre_crop(example.data, self.size)
    except Exception as error:  # Pillow's decoders raise what they like.
      raise self.examples.damaged(row, error) from error
    return image, example.label, True
