"""normlab: a laboratory for normalization layers in JAX and Flax.

`normlab.norms` are the layers, which need JAX and Flax alone. All else is the
laboratory, and needs the extra `lab`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from normlab import norms as norms

__version__ = '0.1.0'


def __getattr__(name: str) -> Any:
  """Imports the layers where they are used: JAX and Flax take a second."""
  if name == 'norms':
    return importlib.import_module('normlab.norms')
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
