"""A small TFDS data set with JPEG images of all kinds, for tests."""

from collections.abc import Mapping

from normlab.data.sets import synthetic

SIZES = {'train': 40, 'validation': 16}
# (width, height): wide, high, smaller and larger than the crops of the tests.
SHAPES = [(32, 24), (24, 40), (48, 36), (90, 60), (20, 20)]


def write(
  folder: str,
  name: str = 'imagenette',
  sizes: Mapping[str, int] = SIZES,
  num_classes: int = 4,
) -> str:
  """Writes the data set, without TensorFlow; returns its folder.

  The classes are colours; a twentieth of the images is grey and shows none.
  Example i has label i modulo `num_classes`; the test images come behind the
  training images.
  """

  def encode(row: int, label: int) -> bytes:
    width, height = SHAPES[row % len(SHAPES)]
    mode = {3: 'L', 7: 'CMYK'}.get(row % 10 if row % 20 < 10 else 0, 'RGB')
    return synthetic.photo(
      row, label, num_classes, width=width, height=height, mode=mode
    )

  return synthetic.write(
    str(folder), name, sizes=sizes, num_classes=num_classes, encode=encode
  )
