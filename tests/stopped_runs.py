"""Runs in processes of their own, which tests stop in every way there is."""

import os
import pathlib

import forked
import jax
import numpy as np

from configs import base
from normlab import records, validation
from normlab.commands import train
from normlab.journal import checkpoint_files, checkpoints
from normlab.runtime import interruption
from normlab.training import preparation


def config(**overrides):
  """A run of a second, with checkpoints and rows all the time."""
  config = base.get_config()
  config.model.name = 'mlp'
  config.model.widths = (8,)
  config.total_steps = 400
  config.eval_every = 70
  config.log_every = 3
  config.checkpoint_every = 10
  config.num_devices = 1
  config.update_from_flattened_dict(overrides)
  return config


def start(folder, config, cache):
  """Trains in a new process, as scripts/train.py does."""
  return forked.start(_train, str(folder), config, str(cache))


def _train(folder, config, cache):
  # One device; and what one process compiled, the next ones read.
  os.environ['XLA_FLAGS'] += ' --xla_force_host_platform_device_count=1'
  jax.config.update('jax_compilation_cache_dir', cache)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  with interruption.watched() as stop:
    os._exit(train.train(config, folder, stop))


def final_tensors(folder, config):
  """All tensors of the newest checkpoint, by name."""
  ready = preparation.prepare(validation.check(config))
  like = preparation.initial_state(ready)
  state, _ = checkpoints.restore(records.Record(folder), like)
  return {
    name: np.asarray(x) for name, x in checkpoint_files.named(state).items()
  }


def metrics(folder):
  """The rows as they are on disk."""
  return (pathlib.Path(folder) / records.METRICS).read_bytes()
