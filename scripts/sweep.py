"""Trains all runs of a sweep, those that get_hyper of a config asks for.

python scripts/sweep.py --config=configs/lr_multipliers/digits.py --workdir=DIR
python scripts/sweep.py --config=FILE --workdir=DIR --runner=ray --address=auto
python scripts/sweep.py --config=FILE --workdir=DIR --dry_run

Exit status: 0 when every run has its result, 1 when one has not, 75 when the
sweep was interrupted (start it again to continue).
"""

import sys

import cli
from absl import flags
from ml_collections import config_flags

from normlab.runtime import interruption

CONFIG = config_flags.DEFINE_config_file('config', help_string='A config file.')
WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the sweep.')
DRY_RUN = flags.DEFINE_bool(
  'dry_run', False, 'Says the runs, their groups and the time; trains none.'
)
TARGET = flags.DEFINE_float(
  'target',
  None,
  'Accuracy (0 to 1) to count steps to; default: best of the first run.',
  lower_bound=0,
  upper_bound=1,
)
cli.define_runner_flags()


def main() -> int:
  """Sweeps, and says whether all runs have a result."""
  # Before the imports, which take seconds.
  with interruption.watched() as stop:
    # After the flags, whose errors are quick.
    from normlab.commands import sweep

    return sweep.sweep(
      CONFIG.value,
      config_flags.get_config_filename(flags.FLAGS['config']),
      WORKDIR.value,
      runner=cli.runner_flags(),
      target=TARGET.value,
      dry_run=DRY_RUN.value,
      stop=stop,
    )


if __name__ == '__main__':
  sys.exit(cli.run(main, sys.argv, required=['config', 'workdir']))
