"""What a run would need is said, and nothing is left behind."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from normlab import errors, validation
from normlab.commands import train
from normlab.training import compiled_calls, preparation


@pytest.fixture
def config():
  config = base.get_config()
  config.model.name = 'mlp'
  config.model.widths = (4,)
  config.num_devices = 1
  return config


def files_in(folder):
  return sorted(path.relative_to(folder) for path in folder.rglob('*'))


def test_a_report_has_the_memory_and_leaves_nothing(
  config, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv('HOME', str(tmp_path))
  text = train.dry_run(config)
  assert files_in(tmp_path) == []
  assert text.startswith('parameters ')
  assert 'devices: 1 of 8 (cpu)' in text
  number = r'[\d.,]+'
  assert re.fullmatch(
    rf'memory of a device: {number} MiB at most: {number} MiB of state and '
    rf'examples, {number} MiB of a step',
    text.splitlines()[-1],
  )


def test_a_config_that_does_not_fit_into_memory_is_one_line(
  config, monkeypatch
):
  monkeypatch.setattr(
    compiled_calls, 'compiled_step', lambda *_: jnp.zeros(2**55, np.uint8)
  )
  with pytest.raises(errors.ConfigError, match='out of memory: .* GiB'):
    train.dry_run(config)


def test_data_are_closed_also_after_an_error(config, monkeypatch):
  ready, closed = preparation.prepare(validation.check(config)), []
  monkeypatch.setattr(ready.feed, 'close', lambda: closed.append(True))
  monkeypatch.setattr(preparation, 'prepare', lambda _: ready)
  monkeypatch.setattr(preparation, 'initial_state', lambda _: 1 / 0)
  with pytest.raises(ZeroDivisionError):
    train.dry_run(config)
  assert closed == [True]


class Memory:
  """Numbers as the compiler gives them, in bytes."""

  argument_size_in_bytes = 3 * 2**20
  output_size_in_bytes = 2 * 2**20
  alias_size_in_bytes = 2**20
  temp_size_in_bytes = 1_000 * 2**20


def test_memory_that_is_donated_is_counted_once():
  assert train.memory_text(Memory) == (
    '1,004.0 MiB at most: 4.0 MiB of state and examples, 1,000.0 MiB of a step'
  )
