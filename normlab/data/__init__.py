"""Data sets by name, in memory; batches and augmentation on the device."""

from normlab.data.augmentation import Augmentation
from normlab.data.batching import (
  DeviceSplit,
  ShuffledRows,
  ordered_rows,
  to_device,
)
from normlab.data.sources import (
  DATASETS,
  Description,
  Split,
  default_data_dir,
  describe,
  load,
  prepare,
)

__all__ = [
  'DATASETS',
  'Augmentation',
  'Description',
  'DeviceSplit',
  'ShuffledRows',
  'Split',
  'default_data_dir',
  'describe',
  'load',
  'ordered_rows',
  'prepare',
  'to_device',
]
