"""Trains all runs of a sweep: the rows of get_hyper in a config.

python scripts/sweep.py --config=configs/lr_multipliers/digits.py --workdir=DIR
python scripts/sweep.py --config=FILE --workdir=DIR --runner=ray --address=auto
python scripts/sweep.py --config=FILE --workdir=DIR --dry_run

Exit status: 0 when every run has its result, 1 when one has not, 75 when the
sweep was interrupted (start it again to continue).
"""

import sys

import cli
from absl import flags

from normlab.commands import config_files
from normlab.runtime import interruption

cli.define_config_flag()
WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the sweep.')
DRY_RUN = flags.DEFINE_bool(
  'dry_run', False, 'Says the runs and how far they are; trains none.'
)
TARGET = flags.DEFINE_float(
  'target',
  None,
  'Accuracy (0 to 1) to count steps to; default: best of the first run.',
  lower_bound=0,
  upper_bound=1,
)
cli.define_runner_flags()


def main(overrides: list[tuple[str, str]]) -> int:
  """Sweeps, and says whether all runs have a result."""
  module, config = cli.config_file()
  # Before the imports, which take seconds, and after quick errors.
  with interruption.watched() as stop:
    config_files.override(config, overrides)
    from normlab.commands import sweep

    return sweep.sweep(
      config,
      module,
      WORKDIR.value,
      runner=cli.runner_flags(),
      target=TARGET.value,
      dry_run=DRY_RUN.value,
      stop=stop,
    )


if __name__ == '__main__':
  sys.exit(cli.run(main, sys.argv, required=['config', 'workdir']))
