"""Trains one run from a config.

python scripts/train.py --config=configs/digits_cnn.py --workdir=DIR \
    --config.norm.name=group
"""

import sys

import cli
from absl import flags
from ml_collections import config_flags

CONFIG = config_flags.DEFINE_config_file('config', help_string='A config file.')
WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the run.')


def main() -> None:
  """Trains, and says how the run ended."""
  from normlab import (
    records,
    trainer,
  )  # After the flags, whose errors are quick.

  known = records.Record(WORKDIR.value).is_finished
  record = trainer.train(CONFIG.value, WORKDIR.value)
  status = record.status
  before = ' (trained before; nothing to do)' if known else ''
  print(f'{record.path}: {status["status"]} at step {status["step"]}{before}')


if __name__ == '__main__':
  sys.exit(cli.run(main, sys.argv, required=['config', 'workdir']))
