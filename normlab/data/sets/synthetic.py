"""Writes a made-up data set of JPEG files as TFDS does, without TensorFlow.

The classes are colours. It serves the benchmark of the input pipeline, and
tests.
"""

import colorsys
import io
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from normlab.data.sets import prepared

CONFIGS = {'imagenette': 'full-size-v2'}


def write(
  folder: str,
  name: str = 'imagenette',
  *,
  sizes: Mapping[str, int],
  num_classes: int = 10,
  encode: Callable[[int, int], bytes] | None = None,
) -> str:
  """Writes a data set in the place, form and splits of a real one.

  Sizes are those of TFDS's own splits, 'train' and 'validation'. Example i has
  label i modulo `num_classes`; `encode` makes its file, by default `photo`.

  Returns:
    The folder of the data set.
  """
  encode = encode or (lambda row, label: photo(row, label, num_classes))

  class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    VERSION = tfds.core.Version('1.0.0')
    BUILDER_CONFIGS = [
      tfds.core.BuilderConfig(name=config)
      for dataset, config in CONFIGS.items()
      if dataset == name
    ]
    # TFDS looks for metadata files beside the module of a builder.
    pkg_dir_path = None

    def _info(self):
      features = {
        'image': tfds.features.Image(encoding_format='jpeg'),
        'label': tfds.features.ClassLabel(num_classes=num_classes),
      }
      return tfds.core.DatasetInfo(
        builder=self, features=tfds.features.FeaturesDict(features)
      )

    def _split_generators(self, dl_manager):
      del dl_manager  # Nothing to download.
      return {split: self._generate_examples(split) for split in sizes}

    def _generate_examples(self, split):
      first = 0 if split == 'train' else sizes['train']
      for row in range(first, first + sizes[split]):
        label = row % num_classes
        yield row, {'image': io.BytesIO(encode(row, label)), 'label': label}

  Builder.name = name  # Of the folder; a class body does not see `name`.
  with prepared.quiet():
    with prepared.own_temporary_folder():
      builder = Builder(data_dir=folder, file_format='array_record')
    builder.download_and_prepare()
  return str(builder.data_path)


def photo(
  row: int,
  label: int,
  num_classes: int,
  *,
  width: int = 500,
  height: int = 375,
  mode: str = 'RGB',
) -> bytes:
  """A JPEG of about the size and detail of ImageNet's, in the class's colour.

  The row is the seed of the details, the mode one of Pillow: 'RGB', 'L'
  (brightness only) or 'CMYK'.
  """
  generator = np.random.default_rng(row)
  colour = 255 * np.array(colorsys.hsv_to_rgb(label / num_classes, 0.8, 0.8))
  coarse = colour + generator.normal(0, 40, (9, 12, 3))
  image = Image.fromarray(np.clip(coarse, 0, 255).astype(np.uint8))
  image = image.resize((width, height), Image.Resampling.BICUBIC)
  grain = generator.integers(-16, 17, (height, width, 1))
  pixels = np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)
  file = io.BytesIO()
  Image.fromarray(pixels).convert(mode).save(file, 'JPEG', quality=90)
  return file.getvalue()
