"""The runners by name, and which one is taken where none is named."""

import os
from collections.abc import Sized

import jax

from normlab import names
from normlab.sweeps.one_process import OneProcess
from normlab.sweeps.processes import LocalProcesses, default_processes
from normlab.sweeps.runner import Runner

# What each does, in the words of the command line.
RUNNERS: dict[str, str] = {
  'vectorized': 'runs of one program as one, on all devices of this process',
  'processes': 'runs beside each other, a process a core or a GPU',
  'one_process': 'one run after another in this process',
  'ray': 'runs on a Ray cluster',
}
# Which of the options each takes.
OPTIONS: dict[str, tuple[str, ...]] = {
  'vectorized': (),
  'processes': ('processes',),
  'one_process': (),
  'ray': ('address', 'num_cpus', 'num_gpus'),
}


def build(name: str | None, runs: Sized, **options: object) -> Runner:
  """A runner by name.

  Args:
    name: a key of `RUNNERS`; None is `default`.
    runs: that it will train.
    **options: as in `OPTIONS`; None is the default of each.

  Raises:
    names.ConfigError: an unknown name, or an option that it does not have.
  """
  given = {key: value for key, value in options.items() if value is not None}
  if name is not None:
    names.lookup('runner', name, RUNNERS)
  taken = OPTIONS['processes' if name is None else name]
  for option, value in given.items():
    if option not in taken:
      owners = [f'--runner={r}' for r, own in OPTIONS.items() if option in own]
      raise names.ConfigError(
        f'--{option}={value} is not allowed with '
        f'{f"--runner={name}" if name else "the default runner"}: it is for '
        f'{" and ".join(owners)}'
      )
  if name is None:
    return default(runs, **given)
  if name == 'processes':
    # This process, which counts the GPUs, must leave their memory to the others.
    os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')
  from normlab.sweeps.ray_cluster import RayCluster
  from normlab.sweeps.vectorized import Vectorized

  makers = {
    'vectorized': Vectorized,
    'processes': LocalProcesses,
    'one_process': OneProcess,
    'ray': RayCluster,
  }
  return makers[name](**given)


def default(runs: Sized, *, processes: int | None = None) -> Runner:
  """What is fastest, as measured: `python scripts/benchmark.py sweep`.

  On a CPU a process a core; stacked, XLA's convolutions are slower there than
  one run after another. On a GPU or TPU the runs of a program as one. A single
  run has the whole machine.

  Args:
    runs: that are to be trained.
    processes: runs beside each other, on a CPU.
  """
  if jax.default_backend() != 'cpu':
    from normlab.sweeps.vectorized import Vectorized

    return Vectorized() if processes is None else LocalProcesses(processes)
  if min(processes or default_processes(), len(runs)) > 1:
    return LocalProcesses(processes)
  return OneProcess()
