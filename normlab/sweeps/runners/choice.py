"""The runners by name, and which one is taken where none is named."""

import os
from collections.abc import Callable, Sized
from typing import NamedTuple

import jax

from normlab import errors, registry
from normlab.sweeps.runners.alone import OneProcess
from normlab.sweeps.runners.interface import Runner
from normlab.sweeps.runners.processes import LocalProcesses, default_processes
from normlab.sweeps.runners.ray.ray_cluster import RayCluster
from normlab.sweeps.runners.stacked.vectorized import Vectorized


class Kind(NamedTuple):
  """A way to train many runs.

  Attributes:
    make: makes the runner from its options.
    options: that it takes, by their names on the command line.
  """

  make: Callable[..., Runner]
  options: tuple[str, ...] = ()


RUNNERS: dict[str, Kind] = {
  'vectorized': Kind(Vectorized),
  'processes': Kind(LocalProcesses, ('processes',)),
  'one_process': Kind(OneProcess),
  'ray': Kind(RayCluster, ('address', 'num_cpus', 'num_gpus')),
}


def build(name: str | None, runs: Sized, **options: object) -> Runner:
  """A runner by name.

  Args:
    name: a key of `RUNNERS`; None is `default`.
    runs: what it will train.
    **options: of the runner; None is its own default.

  Raises:
    errors.ConfigError: an unknown name, or an option that it does not have.
  """
  given = {key: value for key, value in options.items() if value is not None}
  if name is None:
    check_options('the default runner', given, ('processes',))
    return default(runs, **given)
  kind = registry.lookup('runner', name, RUNNERS)
  check_options(f'--runner={name}', given, kind.options)
  if name in ('processes', 'ray'):
    # This process, which trains nothing, must leave the GPUs' memory to others.
    os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')
  return kind.make(**given)


def check_options(
  owner: str, given: dict[str, object], known: tuple[str, ...]
) -> None:
  """Refuses an option that a runner does not have.

  Raises:
    errors.ConfigError: says whose it is.
  """
  for option, value in given.items():
    if option not in known:
      owners = [n for n, kind in RUNNERS.items() if option in kind.options]
      raise errors.ConfigError(
        f'--{option}={value} is not allowed with {owner}; it is for '
        f'{" and ".join(f"--runner={name}" for name in owners)}'
      )


def default(runs: Sized, *, processes: int | None = None) -> Runner:
  """The fastest runner, as measured: `python scripts/benchmark.py sweep`.

  On a CPU a process a core; stacked, XLA's convolutions are slower there than
  one run after another. On a GPU or TPU the runs of a program as one. A single
  run has the whole machine.
  """
  if jax.default_backend() != 'cpu':
    return Vectorized() if processes is None else LocalProcesses(processes)
  if min(processes or default_processes(), len(runs)) > 1:
    return LocalProcesses(processes)
  return OneProcess()
