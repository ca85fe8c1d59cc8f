r"""Trains one run from a config, or continues it.

python scripts/train.py --config=configs/digits_cnn.py --workdir=DIR \
    --config.norm.name=group
python scripts/train.py --config=configs/digits_cnn.py --dry_run

Exit status: 0 when the run has its result, 75 when it was interrupted and saved
its state (start it again to continue).
"""

import sys

import cli
from absl import flags

from normlab.commands import config_files
from normlab.runtime import interruption

cli.define_config_flag()
WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the run.')
DRY_RUN = flags.DEFINE_bool(
  'dry_run', False, 'Checks and compiles, says the memory; writes nothing.'
)
cli.define_multi_host_flags()


def main(overrides: list[tuple[str, str]]) -> int:
  """Trains, and says how the run ended."""
  if not DRY_RUN.value and not WORKDIR.value:
    raise flags.Error('--workdir is needed')
  _, config = cli.config_file()
  # Before the imports, which take seconds, and after quick errors.
  with interruption.watched() as stop:
    config_files.override(config, overrides)
    from normlab.commands import train

    train.join_processes(**cli.values(cli.MULTI_HOST))
    if DRY_RUN.value:
      print(train.dry_run(config))
      return 0
    return train.train(config, WORKDIR.value, stop)


if __name__ == '__main__':
  sys.exit(cli.run(main, sys.argv, required=['config']))
