"""Data sets of own code, right and wrong, for `test_embedded`."""

import numpy as np

from normlab.data.sets.embedded import Embedded

sizes = {'train': 6, 'validation': 4, 'test': 2}
image_shape = (3, 3, 1)
num_classes = 2


def splits():
  return {
    split: (np.full((n, 3, 3, 1), n, np.uint8), np.arange(n) % 2)
    for split, n in sizes.items()
  }


def changed(**fields):
  own = Embedded(splits, sizes, image_shape, num_classes)
  return lambda: own._replace(**fields)


def with_arrays(change):
  def changed_splits():
    return {k: change(*v) for k, v in splits().items()}

  return changed(splits=changed_splits)


made = changed()
regression = changed(
  splits=lambda: {
    k: (np.zeros((n, 3, 3, 1), np.float32), np.ones((n, 2), np.float32))
    for k, n in sizes.items()
  },
  is_regression=True,
)
fails = with_arrays(lambda x, y: 1 / 0)
without_test = changed(splits=lambda: {'train': splits()['train']})
floats = with_arrays(lambda x, y: (x / 255, y))
float_labels = with_arrays(lambda x, y: (x, y / 2))
few_classes = changed(num_classes=1)
short = with_arrays(lambda x, y: (x[1:], y))


def failing():
  raise OSError('disk')


class Partly:
  sizes = sizes


class Held:
  sizes, image_shape, num_classes = sizes, image_shape, num_classes
  splits = staticmethod(splits)
