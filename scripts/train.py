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
flags.mark_flags_as_required(['config', 'workdir'])


def main() -> None:
  """Trains, and says how the run ended."""
  from normlab import trainer  # After the flags: their errors come at once.

  record = trainer.train(CONFIG.value, WORKDIR.value)
  status = record.status
  print(f'{record.path}: {status["status"]} at step {status["step"]}')


if __name__ == '__main__':
  sys.exit(cli.run(main, sys.argv))
