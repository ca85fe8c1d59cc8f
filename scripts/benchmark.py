"""Times this code beside others: train, memory, start, pipeline, sweep, norms.

python scripts/benchmark.py train
python scripts/benchmark.py norms [--names=batch,layer]
python scripts/benchmark.py sweep --out=results/benchmarks/sweep.md
"""

import importlib
import pathlib
import sys

import cli
from absl import flags

from normlab import registry

NAMES = flags.DEFINE_list('names', None, 'Of norms: these only; default: all.')
OUT = flags.DEFINE_string('out', None, 'A file for the report, as Markdown.')
BENCHMARKS = {
  'train': 'milliseconds per training step',
  'memory': 'peak memory of each training loop',
  'start': 'seconds from the command to the first step',
  'pipeline': 'images per second of the input pipeline',
  'sweep': 'runs per hour of each runner',
  'norms': 'milliseconds per pass of each norm, forward and backward',
}


def main(name: str) -> None:
  """Prints one benchmark, and writes it to --out."""
  registry.lookup('benchmark', name, BENCHMARKS)
  if NAMES.value == []:
    raise flags.Error('--names= is empty: must be names of norms')
  only = {} if NAMES.value is None else {'only': NAMES.value}
  if only and name != 'norms':
    raise flags.Error(f'--names is an option of norms, not of {name}')
  out = pathlib.Path(OUT.value) if OUT.value else None
  if out and (out.is_dir() or not out.parent.is_dir()):
    raise flags.Error(f'--out={out}: must be a file in a folder that exists')
  # After the flags, whose errors are quick.
  report = importlib.import_module(f'benchmarks.{name}').report(**only)
  print(report)
  if out:
    out.write_text(f'{report}\n', encoding='utf-8')


if __name__ == '__main__':
  sys.exit(cli.run(main, sys.argv, arguments=['BENCHMARK']))
