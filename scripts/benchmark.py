"""Times this code beside others.

python scripts/benchmark.py train
python scripts/benchmark.py norms [--names=batch,layer]
python scripts/benchmark.py sweep
"""

import importlib
import sys

import cli
from absl import flags

from normlab import registry

NAMES = flags.DEFINE_list('names', None, 'Of norms: these only; default: all.')
BENCHMARKS = {
  'train': 'a training step, its memory, the start, the input pipeline',
  'sweep': 'runs an hour, by what trains them',
  'norms': 'milliseconds a pass of each norm, forward and backward',
}


def main(name: str) -> None:
  """Prints one benchmark."""
  registry.lookup('benchmark', name, BENCHMARKS)
  if NAMES.value == []:
    raise flags.Error('--names= is empty: must be names of norms')
  only = {} if NAMES.value is None else {'only': NAMES.value}
  if only and name != 'norms':
    raise flags.Error(f'--names is an option of norms, not of {name}')
  # After the flags, whose errors are quick.
  module = importlib.import_module(f'benchmarks.{name}')
  print(module.report(**only))


if __name__ == '__main__':
  sys.exit(cli.run(main, sys.argv, arguments=['BENCHMARK']))
