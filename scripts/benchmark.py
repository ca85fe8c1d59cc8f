"""Times this code beside others: python scripts/benchmark.py train."""

import sys

import cli

from normlab import names

BENCHMARKS = {'train': 'milliseconds a training step, and until the first'}


def main(name: str) -> None:
  """Prints one benchmark."""
  names.lookup('benchmark', name, BENCHMARKS)
  from normlab.benchmarks import (
    train,
  )  # After the flags, whose errors are quick.

  print(train.report())


if __name__ == '__main__':
  sys.exit(cli.run(main, sys.argv, arguments=['BENCHMARK']))
