"""Runs on images that are read from disk: trained, stopped, continued."""

import pytest
import stopped_runs
from data import jpeg_dataset

from normlab import records
from normlab.runtime.interruption import Interrupted
from normlab.runtime.progress_bar import Progress
from normlab.training import loop


@pytest.fixture(scope='module')
def config(tmp_path_factory):
  folder = tmp_path_factory.mktemp('jpegs')
  jpeg_dataset.write(
    str(folder), sizes={'train': 40, 'validation': 10}, num_classes=3
  )
  return stopped_runs.config(
    **{
      'data.name': 'imagenette',
      'data.data_dir': str(folder),
      'data.image_size': 16,
      'data.random_flip': True,
      'data.workers': 0,
      'batch_size': 8,
      'eval_batch_size': 4,
      'recalibration_examples': 16,
      'eval_statistics': ('running', 'batch', 'recalibrated'),
      'total_steps': 12,
      'eval_every': 6,
      'log_every': 2,
      'checkpoint_every': 4,
    }
  )


def train(config, folder, calls=100):
  made = iter(range(calls))
  stop = lambda: next(made, None) is None  # noqa: E731
  loop.train(config, str(folder), progress=lambda _: Progress(), stop=stop)


def test_a_streamed_run_goes_on_with_the_next_example(config, tmp_path):
  train(config, tmp_path / 'whole')
  for calls in (2, 4):
    with pytest.raises(Interrupted):
      train(config, tmp_path / 'cut', calls)
  train(config, tmp_path / 'cut')
  whole, cut = (stopped_runs.metrics(tmp_path / n) for n in ('whole', 'cut'))
  assert whole == cut
  rows = records.Record(tmp_path / 'whole').metrics()
  validation = [row for row in rows if row['split'] == 'validation'][-1]
  for name in ('loss', 'accuracy', 'ece', 'class_accuracy'):
    assert {name, f'{name}_batch', f'{name}_recalibrated'} <= validation.keys()


def test_a_streamed_run_that_diverges_finds_its_last_state(config, tmp_path):
  config = config.copy_and_resolve_references()
  config.optimizer.learning_rate = 1e30
  config.norm.name = 'none'
  config.eval_statistics = ('running',)
  config.debug_nans = True
  train(config, tmp_path)
  status = records.Record(tmp_path).status
  assert status['status'] == 'diverged'
  assert status['last_finite_step'] < status['step']
  assert status['first_nonfinite']
