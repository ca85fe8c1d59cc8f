"""The embedded data set: 1,797 handwritten digits, as a TFDS builder.

The images ship inside scikit-learn, so nothing is downloaded, and preparing
them takes a second and no TensorFlow.
"""

import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

SIZES = {'train': 1_077, 'validation': 360, 'test': 360}


class Digits(tfds.core.GeneratorBasedBuilder):
  """8x8 grey images in ten classes, split 60 / 20 / 20 at random, once."""

  name = 'digits'
  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First release.'}
  # TFDS looks for metadata files beside the module of a builder.
  pkg_dir_path = None

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description=(
        'Handwritten digits of 43 people (E. Alpaydin and C. Kaynak, UCI '
        'Machine Learning Repository, 1998), as scikit-learn distributes them.'
      ),
      features=tfds.features.FeaturesDict(
        {
          'image': tfds.features.Image(shape=(8, 8, 1), encoding_format='png'),
          'label': tfds.features.ClassLabel(num_classes=10),
        }
      ),
      supervised_keys=('image', 'label'),
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # Nothing to download.
    from sklearn import datasets  # Takes a second to import; needed once.

    digits = datasets.load_digits()
    # The file is ordered by writer, so a split by position would test on other
    # people than it trains on.
    order = np.random.default_rng(0).permutation(len(digits.target))
    bounds = np.cumsum(list(SIZES.values()))[:-1]
    return {
      split: self._generate_examples(digits, rows)
      for split, rows in zip(SIZES, np.split(order, bounds), strict=True)
    }

  def _generate_examples(self, digits, rows):
    for row in rows.tolist():
      # The source has 17 grey levels, 0 to 16.
      pixels = np.round(digits.images[row] * (255 / 16)).astype(np.uint8)
      yield row, {'image': png(pixels), 'label': int(digits.target[row])}


def png(pixels: np.ndarray) -> io.BytesIO:
  """PNG file of a uint8 array [height, width] or [height, width, 3].

  TFDS encodes arrays with TensorFlow, but takes encoded files as they are.
  """
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, format='PNG')
  file.seek(0)
  return file
