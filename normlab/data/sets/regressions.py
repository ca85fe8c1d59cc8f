"""What the embedded regressions share: their sizes, and the form of a split.

Features are the channels of an image of one pixel, so that every model takes
them; they are float32 and remain as they are, as their scale is the question.
"""

import numpy as np

SIZES = {'train': 1_000, 'validation': 1_000, 'test': 1_000}
FEATURES = 10
IMAGE_SHAPE = (1, 1, FEATURES)

Splits = dict[str, tuple[np.ndarray, np.ndarray]]


def normal_splits(generator: np.random.Generator) -> dict[str, np.ndarray]:
  """Standard normal numbers [examples, FEATURES] of each split, in float64."""
  return {
    split: generator.normal(size=(size, FEATURES))
    for split, size in SIZES.items()
  }


def split_of(
  features: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """A split as it is loaded.

  Args:
    features: [examples, FEATURES].
    targets: [examples, outputs].

  Returns:
    float32 [examples, 1, 1, FEATURES] and float32 [examples, outputs].
  """
  images = features.reshape(-1, *IMAGE_SHAPE).astype(np.float32)
  return images, targets.astype(np.float32)
