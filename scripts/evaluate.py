"""Evaluates a checkpoint of a run; changes nothing in its folder.

python scripts/evaluate.py --run=DIR --statistics=recalibrated --split=test
"""

import sys

import cli
from absl import flags

RUN = flags.DEFINE_string('run', None, 'Folder of the run.')
SPLIT = flags.DEFINE_string('split', 'test', 'train, validation or test.')
STATISTICS = flags.DEFINE_string(
  'statistics', 'running', 'Of the norms: running, batch or recalibrated.'
)
BATCH_SIZE = flags.DEFINE_integer(
  'batch_size', None, 'Examples at a time; default: as in the run.'
)
EMA = flags.DEFINE_bool('ema', False, 'Takes the averaged parameters.')
STEP = flags.DEFINE_integer('step', None, 'Checkpoint; default: the last.')
BEST = flags.DEFINE_bool('best', False, 'Takes the best checkpoint.')
DATA_DIR = flags.DEFINE_string(
  'data_dir', None, 'Where TFDS prepared the data; default: as in the run.'
)


def main() -> None:
  """Prints the metrics as a Markdown table."""
  from normlab.commands import evaluate

  found = evaluate.evaluate_run(
    RUN.value,
    split=SPLIT.value,
    statistics=STATISTICS.value,
    batch_size=BATCH_SIZE.value,
    ema=EMA.value,
    step=STEP.value,
    best=BEST.value,
    data_dir=DATA_DIR.value,
  )
  print(found.markdown())


if __name__ == '__main__':
  sys.exit(cli.run(main, sys.argv, required=['run']))
