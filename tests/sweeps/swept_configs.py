"""Runs of a second or less, for tests of sweeps."""

from configs import base


def tiny_config(seed=0, **overrides):
  config = base.get_config()
  config.seed = seed
  config.model.name = 'mlp'
  config.model.widths = (8,)
  config.total_steps = 4
  config.update_from_flattened_dict(overrides)
  return config


def tiny_runs(folder, *seeds, **overrides):
  """Run folder to config."""
  return {
    str(folder / f'run{seed}'): tiny_config(seed, **overrides) for seed in seeds
  }


class Watch:
  """Remembers what it is told, and stops when it is told to."""

  def __init__(self, stop=lambda watch: False):
    self.starts = []
    self.polls = 0
    self._stop = stop

  def started(self, path):
    self.starts.append(path)

  def poll(self):
    self.polls += 1

  def stop(self):
    return self._stop(self)
