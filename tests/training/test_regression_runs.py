"""Runs of regressions: gradient descent on a quadratic, in closed form."""

import jax
import numpy as np
import pytest

from configs import base, linear_network
from normlab import data, validation
from normlab.analysis import tables
from normlab.runtime import progress_bar
from normlab.training import loop, preparation

STEPS = 6


def linear_regression(**overrides):
  config = base.get_config()
  config.data.name = 'valley/standardized'
  config.batch_size = 1_000
  config.total_steps = STEPS
  config.eval_every = STEPS // 2
  config.log_every = 1
  config.num_devices = 1
  config.model.name = 'mlp'
  config.model.widths = ()
  config.norm.name = 'none'
  config.optimizer.name = 'sgd'
  config.optimizer.learning_rate = 0.05
  config.update_from_flattened_dict(overrides)
  return config


def train(config, path):
  return loop.train(
    config, str(path), progress=lambda _: progress_bar.Progress()
  )


def initial(config):
  """The weights of the features and of the bias before the first step."""
  run = preparation.prepare(validation.check(config))
  logits = jax.device_get(preparation.initial_state(run).params)['logits']
  return np.vstack([logits['kernel'], logits['bias']]).astype(np.float64)


@pytest.mark.parametrize('steps_per_call', [1, 3])
def test_gradient_descent_follows_its_closed_form(tmp_path, steps_per_call):
  config = linear_regression(steps_per_call=steps_per_call)
  examples = data.load(config.data.name)['train']
  x = examples.images.reshape(1_000, -1).astype(np.float64)
  x = np.c_[x, np.ones(1_000)]
  y = examples.labels.astype(np.float64)
  # loss = ||X w - y||^2 / n, so that w - w* shrinks by I - rate * Hessian.
  hessian = 2 * x.T @ x / 1_000
  error = initial(config) - np.linalg.lstsq(x, y)[0]
  expected = []
  for _ in range(STEPS):
    expected.append((error.T @ hessian @ error).item() / 2)
    error -= config.optimizer.learning_rate * hessian @ error
  record = train(config, tmp_path)
  rows = [row for row in record.metrics() if row['split'] == 'train']
  np.testing.assert_allclose([row['loss'] for row in rows], expected, rtol=1e-4)
  assert not any('accuracy' in row for row in rows)


def test_evaluations_have_a_loss_and_an_explained_share(tmp_path):
  record = train(linear_regression(), tmp_path)
  rows = [row for row in record.metrics() if row['split'] == 'validation']
  assert all({*row} == {'step', 'split', 'loss', 'accuracy'} for row in rows)
  targets = data.load('valley/standardized')['validation'].labels
  for row in rows:
    explained = 1 - row['loss'] / targets.var(0).sum()
    assert row['accuracy'] == pytest.approx(max(0, explained), rel=1e-4)
  table = tables.evaluations([({'arm': 'a', 'seed': 0}, record)])
  assert table['accuracy'].tolist() == [row['accuracy'] for row in rows]


def test_the_best_checkpoint_is_that_of_the_most_explained(tmp_path):
  # The error grows from the first step on.
  config = linear_regression(**{'optimizer.learning_rate': 0.25})
  record = train(config, tmp_path)
  accuracy = {
    row['step']: row['accuracy']
    for row in record.metrics()
    if row['split'] == 'validation'
  }
  assert accuracy[STEPS // 2] >= accuracy[STEPS]
  kept = {int(p.name) for p in (tmp_path / 'checkpoints').iterdir()}
  assert STEPS // 2 in kept


def test_batch_norm_and_dropout_and_an_average_train_a_regression(tmp_path):
  config = linear_regression(
    **{
      'model.widths': (8,),
      'norm.name': 'batch',
      'model.dropout': 0.1,
      'ema_decay': 0.5,
      'eval_statistics': ('running', 'batch', 'recalibrated'),
      'microbatches': 2,
    }
  )
  record = train(config, tmp_path)
  assert record.status['status'] == 'done'
  last = record.metrics()[-1]
  for suffix in ('', '_batch', '_recalibrated', '_ema'):
    assert np.isfinite(last[f'loss{suffix}'])
    assert 0 <= last[f'accuracy{suffix}'] <= 1


def test_too_large_a_rate_diverges(tmp_path):
  config = linear_regression(
    **{'optimizer.learning_rate': 1e20, 'debug_nans': True}
  )
  status = train(config, tmp_path).status
  assert status['status'] == 'diverged'
  assert status['first_nonfinite']


def test_the_deep_linear_network_has_25_square_layers():
  config = linear_network.get_config()
  run = preparation.prepare(validation.check(config))
  params = preparation.initial_state(run).params
  kernels = [leaf.shape for leaf in jax.tree.leaves(params) if leaf.ndim == 2]
  assert kernels == [(10, 10)] * 25
  assert config.batch_size == data.describe(config.data.name).sizes['train']
