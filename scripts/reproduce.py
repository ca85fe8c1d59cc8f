"""Runs an experiment: trains what is missing, prints tables, draws the figure.

python scripts/reproduce.py speedup --scale=digits --workdir=DIR

Exit status: 0 when all results are written, 75 when it was interrupted (start
it again to continue).
"""

import importlib
import sys

import cli
from absl import flags

import experiments
from normlab import registry
from normlab.runtime import interruption

SCALE = flags.DEFINE_string('scale', 'digits', 'Size of the experiment.')
WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder of the runs and figures.'
)
DATA_DIR = flags.DEFINE_string(
  'data_dir', None, 'Where TFDS prepared the data.'
)
PLOT_ONLY = flags.DEFINE_bool('plot_only', False, 'Reads records, trains none.')
cli.define_runner_flags()


def main(name: str) -> None:
  """Reproduces one experiment."""
  registry.lookup('experiment', name, experiments.EXPERIMENTS)
  # Before the imports, which take seconds.
  with interruption.watched() as stop:
    from normlab.commands import reproduce

    reproduce.reproduce(
      name,
      importlib.import_module(f'experiments.{name}'),
      scale=SCALE.value,
      workdir=WORKDIR.value,
      data_dir=DATA_DIR.value,
      runner=cli.runner_flags(),
      plot_only=PLOT_ONLY.value,
      stop=stop,
    )


if __name__ == '__main__':
  sys.exit(
    cli.run(main, sys.argv, arguments=['EXPERIMENT'], required=['workdir'])
  )
