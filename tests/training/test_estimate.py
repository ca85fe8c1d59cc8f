"""What a run would need is said, and nothing is left behind."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from normlab import errors, validation
from normlab.runtime import progress_bar
from normlab.training import estimate, preparation


@pytest.fixture
def config():
  config = base.get_config()
  config.model.name = 'mlp'
  config.model.widths = (4,)
  config.num_devices = 1
  return config


def files_in(folder):
  return sorted(path.relative_to(folder) for path in folder.rglob('*'))


def test_report_has_memory_and_time_and_leaves_nothing(
  config, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv('HOME', str(tmp_path))
  text = estimate.report(config)
  assert files_in(tmp_path) == []
  assert text.startswith('parameters ')
  assert 'devices: 1 of 8 (cpu)' in text
  number = r'[\d.,]+'
  memory, compiling, step = text.splitlines()[-3:]
  assert re.fullmatch(
    rf'memory of a device: {number} MiB at most: {number} MiB of state and '
    rf'examples, {number} MiB of a step',
    memory,
  )
  assert re.fullmatch(rf'compiling: {number} s', compiling)
  assert re.fullmatch(
    rf'a step: {number} ms, {number} images a second; all steps: '
    rf'{number} (s|min|h), without evaluations',
    step,
  )


def test_a_config_that_does_not_fit_into_memory_is_one_line(
  config, monkeypatch
):
  monkeypatch.setattr(
    preparation, 'compiled_step', lambda *_: jnp.zeros(2**55, np.uint8)
  )
  with pytest.raises(errors.ConfigError, match='out of memory: .* GiB'):
    estimate.measure(config)


def test_data_are_closed_also_after_an_error(config, monkeypatch):
  ready, closed = preparation.prepare(validation.check(config)), []
  monkeypatch.setattr(ready.data, 'close', lambda: closed.append(True))
  monkeypatch.setattr(preparation, 'prepare', lambda _: ready)
  monkeypatch.setattr(preparation, 'initial_state', lambda _: 1 / 0)
  with pytest.raises(ZeroDivisionError):
    estimate.report(config)
  assert closed == [True]


@pytest.mark.parametrize('total, per_call', [(1, 1), (3, 25), (30, 25)])
def test_run_shorter_than_the_steps_that_are_timed_is_timed(
  config, total, per_call, monkeypatch
):
  config.total_steps, config.steps_per_call = total, per_call
  ready, made = preparation.prepare(validation.check(config)), []

  def run_steps(ready, state, first, count):
    made.append((first, count))
    return state, {}

  monkeypatch.setattr(preparation, 'run_steps', run_steps)
  assert estimate.step_seconds(ready, None) > 0
  assert len(made) == estimate.STEPS + 1
  assert all(
    count == min(per_call, total) and first + count <= total
    for first, count in made
  )


class Memory:
  """Numbers as the compiler gives them, in bytes."""

  argument_size_in_bytes = 3 * 2**20
  output_size_in_bytes = 2 * 2**20
  alias_size_in_bytes = 2**20
  temp_size_in_bytes = 1_000 * 2**20


def test_memory_that_is_donated_is_counted_once():
  assert estimate.memory_text(Memory) == (
    '1,004.0 MiB at most: 4.0 MiB of state and examples, 1,000.0 MiB of a step'
  )


def test_all_steps_take_the_time_of_one_each(config, monkeypatch):
  config.total_steps = 7_000
  monkeypatch.setattr(estimate, 'step_seconds', lambda *_: 0.25)
  text = estimate.report(config)
  assert text.endswith(
    'a step: 250.00 ms, 128 images a second; all steps: '
    f'{progress_bar.duration(1_750)}, without evaluations'
  )
