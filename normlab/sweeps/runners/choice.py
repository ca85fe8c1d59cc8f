"""The runners by name, and the default."""

import os
from collections.abc import Callable, Sized
from typing import Any

import jax

from normlab import errors, registry
from normlab.sweeps.runners.alone import OneProcess
from normlab.sweeps.runners.interface import Runner
from normlab.sweeps.runners.processes import LocalProcesses, default_processes
from normlab.sweeps.runners.ray.ray_cluster import RayCluster
from normlab.sweeps.runners.stacked.vectorized import Vectorized

RUNNERS: dict[str, Callable[..., Runner]] = {
  'vectorized': Vectorized,
  'processes': LocalProcesses,
  'one_process': OneProcess,
  'ray': RayCluster,
}
# Option on the command line to the runner that has it.
OPTIONS = {
  'processes': 'processes',
  'address': 'ray',
  'num_cpus': 'ray',
  'num_gpus': 'ray',
}


def build(name: str | None, runs: Sized, **options: Any) -> Runner:
  """A runner by name.

  Args:
    name: a key of `RUNNERS`; None is `default`.
    **options: keys of `OPTIONS`; None is the runner's own default.

  Raises:
    errors.ConfigError: an unknown name, or an option that it does not have.
  """
  make = None if name is None else registry.lookup('runner', name, RUNNERS)
  given = {key: value for key, value in options.items() if value is not None}
  for option, value in given.items():
    if OPTIONS[option] != (name or 'processes'):
      owner = 'the default runner' if name is None else f'--runner={name}'
      raise errors.ConfigError(
        f'--{option}={value} is not allowed with {owner}; it is for '
        f'--runner={OPTIONS[option]}'
      )
  if name in ('processes', 'ray'):
    # This process, which trains nothing, must leave the GPUs' memory to others.
    os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')
  return make(**given) if make else default(runs, **given)


def default(runs: Sized, *, processes: int | None = None) -> Runner:
  """The fastest runner, as measured: `python scripts/benchmark.py sweep`.

  On a CPU that is one process per core: there, stacked convolutions are slower
  than runs in turn. On a GPU or TPU the runs of a program are stacked. A single
  run has the whole machine.
  """
  if jax.default_backend() != 'cpu':
    return Vectorized() if processes is None else LocalProcesses(processes)
  if min(processes or default_processes(), len(runs)) > 1:
    return LocalProcesses(processes)
  return OneProcess()
