"""Runs an experiment: trains what is missing, prints tables, draws the figure.

python scripts/reproduce.py --list
python scripts/reproduce.py speedup --scale=digits --workdir=DIR
python scripts/reproduce.py speedup --scale=digits --workdir=DIR --plot_only

Exit status: 0 when all results are written, 75 when it was interrupted (start
it again to continue).
"""

import pathlib
import sys

import cli
from absl import flags

import experiments
from normlab import registry
from normlab.runtime import interruption

COMMITTED = pathlib.Path(experiments.__file__).parents[1] / 'results'
LIST = flags.DEFINE_bool(
  'list', False, 'Prints experiments, claims, scales and times; runs nothing.'
)
SCALE = flags.DEFINE_string('scale', 'digits', 'Size of the experiment.')
WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder of the runs; the results go to WORKDIR/results.'
)
DATA_DIR = flags.DEFINE_string(
  'data_dir', None, 'Where TFDS prepared the data.'
)
TUNE = flags.DEFINE_bool(
  'tune', False, 'Tunes the learning rates first, on the grid of the scale.'
)
PLOT_ONLY = flags.DEFINE_bool(
  'plot_only', False, 'Draws from the curves of the results; trains nothing.'
)
cli.define_runner_flags()


def main(name: str | None = None) -> None:
  """Reproduces one experiment, or lists all."""
  if name is not None:
    registry.lookup('experiment', name, experiments.EXPERIMENTS)
  # Before the imports, which take seconds.
  with interruption.watched() as stop:
    from normlab.commands import reproduce

    if name is None:
      print(reproduce.listing(experiments.load_all(), COMMITTED))
      return
    reproduce.reproduce(
      name,
      experiments.load(name),
      scale=SCALE.value,
      workdir=WORKDIR.value,
      committed=COMMITTED,
      data_dir=DATA_DIR.value,
      runner=cli.runner_flags(),
      tune=TUNE.value,
      plot_only=PLOT_ONLY.value,
      stop=stop,
    )


if __name__ == '__main__':
  needed = ([], []) if '--list' in sys.argv else (['EXPERIMENT'], ['workdir'])
  sys.exit(cli.run(main, sys.argv, arguments=needed[0], required=needed[1]))
