"""Data sets by name: in memory on the device, or streamed from disk."""

import importlib
from typing import TYPE_CHECKING, Any

from normlab.data.pixels import (
  Augmentation,
  Examples,
  Standardizer,
  pixel_statistics,
)
from normlab.data.sets.sources import (
  DATASETS,
  Description,
  describe,
  is_streamed,
  load,
  pixel_statistics_of,
  prepare,
)

if TYPE_CHECKING:
  from normlab.data.streaming.streams import TrainStream, eval_batches

STREAMING = ('TrainStream', 'eval_batches')


def __getattr__(name: str) -> Any:
  """Imports grain, which takes half a second, where it is used."""
  if name in STREAMING:
    return getattr(
      importlib.import_module('normlab.data.streaming.streams'), name
    )
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
