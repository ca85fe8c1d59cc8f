"""Runs in processes of their own, which tests stop in every way there is.

The processes are forked from a server that has imported everything, so that one
starts in tenths of a second.
"""

import multiprocessing
import os
import pathlib

import jax
import numpy as np

from configs import base
from normlab import checkpoints, launch, progress, records, run

CONTEXT = multiprocessing.get_context('forkserver')
CONTEXT.set_forkserver_preload(['stopped_runs', 'orbax.checkpoint'])


def config(**overrides):
  """A run with state of every kind, and checkpoints all the time."""
  config = base.get_config()
  config.model.name = 'mlp'
  config.model.widths = (16, 16)
  config.model.dropout = 0.2
  config.norm.name = 'batch_renorm'
  config.norm.schedule_scale = 0.01
  config.optimizer.name = 'adam'
  config.optimizer.learning_rate = 0.003
  config.data.random_crop = 1
  config.ema_decay = 0.99
  config.total_steps = 600
  config.eval_every = 70
  config.log_every = 7
  config.checkpoint_every = 20
  config.num_devices = 1
  config.update_from_flattened_dict(overrides)
  return config


def start(folder, config, cache):
  """Trains in a new process, as scripts/train.py does."""
  process = CONTEXT.Process(
    target=_train, args=(str(folder), config, str(cache))
  )
  process.start()
  return process


def _train(folder, config, cache):
  os.environ['XLA_FLAGS'] = '--xla_backend_optimization_level=1'
  jax.config.update('jax_compilation_cache_dir', cache)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  os._exit(launch.train(config, folder))


def final_tensors(folder):
  """All tensors of the newest checkpoint, by name."""
  record = records.Record(folder)
  stored = config()
  stored.update(record.config)
  ready = run.prepare(stored)
  found = checkpoints.restore(record, run.initial_state(ready))
  return {
    name: np.asarray(x) for name, x in checkpoints.named(found.state).items()
  }


def metrics(folder):
  return (pathlib.Path(folder) / records.METRICS).read_bytes()
