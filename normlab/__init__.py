"""normlab: a laboratory for normalization layers in JAX and Flax.

`normlab.norms` needs JAX and Flax; the rest needs the extra `lab`. From the
top down, each part imports from parts below it (docs/imports.svg):

  commands    train, evaluate, sweep, reproduce: one module per script
  sweeps      many runs: language/, plan, runners/, results/
  training    its docstring tells the way of a batch and of a metric; the loop
  validation  what a config may be: fields, and rules between them
  journal     what a run writes: rows, events and checkpoints, kept consistent
  analysis    tables of runs, curves, intervals, verdicts, plots
  probes      what is measured inside a network while it trains
  program     the compiled step: state, optimizer, metrics; pure functions
  records     a run on disk: its name, config, rows and status
  data        data sets in memory (sets/) or from disk (streaming/), batches
  models      mlp, cnn, inception, resnet18, resnet50, bn_inception; ops/
  norms       the layers, one per file; core/, kernels/, trained/
  runtime     devices, hosts, signals, the terminal, profiles
  registry    finds a name in a table, or suggests the nearest
  own_code    imports own code by its path, and knows its arguments
  errors      ConfigError, and how values are shown
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
