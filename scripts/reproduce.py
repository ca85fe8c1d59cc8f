"""Runs an experiment: trains what is missing, prints tables, draws the figure.

python scripts/reproduce.py speedup --scale=digits --workdir=DIR
"""

import importlib
import sys

import cli
from absl import flags

import experiments
from normlab import names

SCALE = flags.DEFINE_string('scale', 'digits', 'Size of the experiment.')
WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder of the runs and figures.'
)
DATA_DIR = flags.DEFINE_string(
  'data_dir', None, 'Where TFDS prepared the data.'
)
PROCESSES = flags.DEFINE_integer(
  'processes', None, 'Runs at a time; default: one a CPU core.', lower_bound=1
)
PLOT_ONLY = flags.DEFINE_bool('plot_only', False, 'Reads records, trains none.')


def main(name: str) -> None:
  """Reproduces one experiment."""
  names.lookup('experiment', name, experiments.EXPERIMENTS)
  from normlab import reports  # After the flags, whose errors are quick.

  reports.reproduce(
    name,
    importlib.import_module(f'experiments.{name}'),
    scale=SCALE.value,
    workdir=WORKDIR.value,
    data_dir=DATA_DIR.value,
    processes=PROCESSES.value,
    plot_only=PLOT_ONLY.value,
  )


if __name__ == '__main__':
  sys.exit(
    cli.run(main, sys.argv, arguments=['EXPERIMENT'], required=['workdir'])
  )
