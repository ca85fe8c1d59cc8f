"""Training rows, from the metrics of calls of any length."""

import math

import numpy as np
import pytest

from configs import base
from normlab.training import compiled_calls
from normlab.training.compiled_calls import CallMetrics, PendingMetrics
from normlab.training.divergence import DivergedError
from normlab.training.training_rows import TrainRows

RATES = np.linspace(1, 0.1, 10, dtype=np.float32)
LOSSES = [5.0, 4.0, 3.0, 2.5, 2.0, 1.5, 1.0, 0.75, 0.5, 0.25]


class Journal:
  """Remembers its rows."""

  def __init__(self):
    self.rows, self.timing = [], []

  def write(self, step, split, values):
    assert split == 'train'
    self.rows.append((step, values))

  def write_timing(self, step, values):
    self.timing.append((step, values['images_per_second']))


class Seconds:
  """A clock that stands until it is moved."""

  def __init__(self):
    self.now = 100.0

  def __call__(self):
    return self.now


@pytest.fixture
def seconds(monkeypatch):
  seconds = Seconds()
  monkeypatch.setattr(compiled_calls.time, 'monotonic', seconds)
  return seconds


def make(log_every=4, window=(), log_layer_norms=False):
  config = base.get_config()
  config.total_steps, config.log_every = 10, log_every
  config.log_layer_norms = log_layer_norms
  config.batch_size = 16
  journal = Journal()
  return Log(config, TrainRows(config, journal, RATES, window)), journal


class Log(PendingMetrics):
  """The metrics of a run whose parameters are its number of updates."""

  def __init__(self, config, rows):
    super().__init__(config, norms_of=self.norms)
    self.rows, self.updates, self.each = rows, 0, config.log_layer_norms
    self.steps = 0

  def flush(self):
    for fetched in self.fetch():
      self.rows.write(fetched)
      self.steps = fetched.end

  def norms(self):
    params = {'layer1': {'kernel': np.full(4, self.updates, np.float32)}}
    return compiled_calls.parameter_norms(params, each=self.each)

  def add(self, first, metrics):
    self.updates = first + metrics.count
    if self.is_ready():
      self.flush()
    super().add(first, metrics)


def call(log, first, count, losses=LOSSES):
  """The metrics of some steps, in one call."""
  values = np.array(losses[first : first + count], np.float32)
  metrics = CallMetrics(
    ('gradient_norm', 'loss'), np.stack([10 * values, values], axis=1)
  )
  log.add(first, metrics)


def mean(first, end):
  return sum(LOSSES[first:end]) / (end - first)


@pytest.mark.parametrize('counts', [[1] * 10, [3, 1, 4, 2], [4, 4, 2]])
def test_row_is_the_mean_over_the_steps_since_the_row_before(counts):
  log, journal = make()
  first = 0
  for count in counts:
    call(log, first, count)
    first += count
  log.flush()
  assert [step for step, _ in journal.rows] == [4, 8, 10]
  for (step, row), begin in zip(journal.rows, (0, 4, 8), strict=True):
    assert row['loss'] == pytest.approx(mean(begin, step))
    assert row['gradient_norm'] == pytest.approx(10 * mean(begin, step))
    assert row['learning_rate'] == float(RATES[step - 1])
    # Of the parameters at the row: 4 equal numbers.
    assert row['parameter_norm'] == 2 * step
  assert log.steps == 10
  assert log.rows.window == ()


def test_row_is_written_after_the_next_call(seconds):
  log, journal = make()
  call(log, 0, 4)
  assert journal.rows == [] and log.steps == 0
  call(log, 4, 2)
  assert [step for step, _ in journal.rows] == [4]
  assert log.steps == 4


def test_metrics_between_rows_are_fetched_now_and_then(seconds):
  log, _ = make()
  call(log, 0, 1)
  call(log, 1, 1)
  assert log.steps == 0
  seconds.now += 2 * compiled_calls.FETCH_EVERY
  # Those of this call may still be computed.
  call(log, 2, 1)
  assert log.steps == 2
  log.flush()
  log.flush()
  assert log.steps == 3


def test_metrics_are_fetched_before_too_many_calls_are_in_flight(
  seconds, monkeypatch
):
  monkeypatch.setattr(compiled_calls, 'MOST_PENDING', 3)
  log, _ = make(log_every=10)
  fetched = []
  for step in range(8):
    call(log, step, 1)
    fetched.append(log.steps)
  assert fetched == [0, 0, 0, 3, 3, 3, 6, 6]


def test_norm_of_each_tensor_is_in_the_row_if_asked():
  log, journal = make(log_layer_norms=True)
  call(log, 0, 4)
  log.flush()
  ((_, row),) = journal.rows
  assert row['parameter_norm/layer1/kernel'] == 8


@pytest.mark.parametrize('stop', [1, 3, 4, 6, 9])
def test_log_continues_behind_the_steps_of_its_window(stop):
  whole, expected = make()
  before, first_rows = make()
  for step in range(10):
    call(whole, step, 1)
    if step < stop:
      call(before, step, 1)
  whole.flush()
  before.flush()
  assert len(before.rows.window) == stop % 4
  after, last_rows = make(window=before.rows.window)
  for step in range(stop, 10):
    call(after, step, 1)
  after.flush()
  assert first_rows.rows + last_rows.rows == expected.rows


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize('counts', [[1] * 10, [4, 4, 2]])
def test_loss_that_is_not_finite_is_a_divergence_at_its_step(value, counts):
  log, journal = make()
  losses = LOSSES[:5] + [value] * 5
  first = 0
  with pytest.raises(DivergedError, match='train loss .* at step 6$') as error:
    for count in counts:
      call(log, first, count, losses)
      first += count
    log.flush()
  assert (error.value.step, error.value.split) == (6, 'train')
  assert error.value.details == {}
  # What was before it is not lost, and nothing after it is written.
  assert [step for step, _ in journal.rows] == [4]


def test_norm_that_is_not_finite_is_no_divergence():
  log, journal = make(log_every=1)
  metrics = CallMetrics(('gradient_norm', 'loss'), np.array([[np.inf, 1]]))
  log.add(0, metrics)
  log.flush()
  assert journal.rows[0][1]['gradient_norm'] == math.inf


def test_speed_is_of_the_steps_since_the_row_before(seconds):
  log, journal = make()
  for step in range(8):
    call(log, step, 1)
    seconds.now += 0.5 if step < 4 else 0.25
  log.flush()
  # Steps of 16 examples, of a half and of a quarter of a second.
  (first, slow), (second, fast) = journal.timing
  assert (first, second) == (4, 8)
  assert slow == pytest.approx(16 / 0.5)
  assert fast == pytest.approx(16 / 0.25)


def test_evaluations_are_not_in_the_speed(seconds):
  log, journal = make()
  call(log, 0, 4)
  seconds.now += 2
  with log.paused():
    seconds.now += 1_000
  log.flush()
  assert journal.timing == [(4, 16 * 4 / 2)]


def test_pause_before_the_first_step_is_no_error(seconds):
  log, _ = make()
  with log.paused():
    seconds.now += 5
