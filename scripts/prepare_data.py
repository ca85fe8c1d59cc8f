"""Prepares a TFDS data set, once: python scripts/prepare_data.py NAME.

Downloads it and writes it as array_record, which is then read without
TensorFlow. Needs the `prepare` extra: pip install -e '.[prepare]'.
A config of TFDS is named as there: imagenette/160px-v2. ImageNet's own files
must be downloaded by hand, into DATA_DIR/downloads/manual; an error names them.
"""

import sys

import cli
from absl import flags

DATA_DIR = flags.DEFINE_string(
  'data_dir', None, 'Where to; default: TFDS_DATA_DIR, ~/tensorflow_datasets.'
)


def main(name: str) -> None:
  """Prepares one data set and says where it is."""
  from normlab import data

  print(data.prepare(name, DATA_DIR.value))


if __name__ == '__main__':
  sys.exit(cli.run(main, sys.argv, arguments=['NAME']))
