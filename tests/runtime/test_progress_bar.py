import io
import os
import sys

import pytest

from normlab.runtime import progress_bar

VALUES = {'loss': 0.25, 'accuracy': 0.875}


def test_lines_are_plain(capsys):
  lines = progress_bar.Lines(100)
  lines.step(10, {'loss': 1.5, 'accuracy': 0.5})
  lines.evaluated(10, 'validation', VALUES)
  lines.close()
  captured = capsys.readouterr()
  assert captured.out == ''
  assert captured.err == (
    'step 10/100: loss 1.5000, validation loss 0.2500, accuracy 87.50%\n'
  )


def test_later_lines_have_rate_and_remaining_time(capsys, monkeypatch):
  clock = iter([100.0, 104.0])
  monkeypatch.setattr(progress_bar.time, 'monotonic', lambda: next(clock))
  lines = progress_bar.Lines(100)
  lines.step(1, VALUES)
  lines.step(21, VALUES)
  lines.evaluated(21, 'validation', VALUES)
  # 20 steps in 4 seconds, 79 are left.
  assert capsys.readouterr().err.endswith(', 5.0 steps/s, 16 s left\n')


def test_line_before_the_first_step_does_not_fail(capsys):
  progress_bar.Lines(100).evaluated(0, 'validation', VALUES)
  assert 'step 0/100: loss nan' in capsys.readouterr().err


def test_bar_shows_steps_loss_and_accuracy(capsys):
  bar = progress_bar.Bar(4)
  bar.step(1, {'loss': 1.5, 'accuracy': 0.0})
  bar.evaluated(1, 'validation', VALUES)
  bar.step(2, {'loss': 1.25, 'accuracy': 0.0})
  bar.close()
  last = capsys.readouterr().err.split('\r')[-1]
  assert '2/4' in last
  assert 'loss 1.2500, validation accuracy 87.50%' in last


def test_bar_moves_by_the_steps_that_were_made(capsys):
  bar = progress_bar.Bar(100)
  for step in (25, 50, 75):
    bar.step(step, VALUES)
  bar.close()
  assert '75/100' in capsys.readouterr().err.split('\r')[-1]


def test_bar_of_a_resumed_run_starts_behind_its_steps(capsys):
  bar = progress_bar.Bar(100)
  bar.resumed(60)
  bar.step(61, VALUES)
  bar.close()
  last = capsys.readouterr().err.split('\r')[-1]
  assert '61/100' in last


def test_rate_of_a_resumed_bar_is_that_of_its_own_steps(capsys):
  bar = progress_bar.Bar(100)
  bar.resumed(60)
  bar.step(61, VALUES)
  shown = bar._bar.format_dict
  bar.close()
  assert shown['n'] - shown['initial'] == 1


def test_note_stands_above_the_bar(capsys):
  bar = progress_bar.Bar(4)
  bar.note('a table\nof two lines')
  bar.close()
  captured = capsys.readouterr()
  assert captured.out == ''
  assert 'a table\nof two lines\n' in captured.err


def test_lines_say_where_a_run_continues(capsys):
  lines = progress_bar.Lines(100)
  lines.note('a table')
  lines.resumed(60)
  assert capsys.readouterr().err == 'a table\nresumed at step 60/100\n'


@pytest.mark.parametrize(
  'seconds, text',
  [
    (0.4, '0 s'),
    (119, '119 s'),
    (120, '2 min'),
    (7_199, '120 min'),
    (7_200, '2.0 h'),
    (100_000, '27.8 h'),
  ],
)
def test_duration_is_said_as_a_person_says_it(seconds, text):
  assert progress_bar.duration(seconds) == text


def test_silent_writes_nothing(capsys):
  silent = progress_bar.Progress()
  silent.note('a table')
  silent.resumed(1)
  silent.step(1, VALUES)
  silent.evaluated(1, 'validation', VALUES)
  silent.close()
  captured = capsys.readouterr()
  assert captured.out == captured.err == ''


class Terminal(io.StringIO):
  def isatty(self):
    return True


@pytest.mark.parametrize(
  'stream, kind',
  [(Terminal(), progress_bar.Bar), (io.StringIO(), progress_bar.Lines)],
)
def test_bar_is_for_terminals_only(stream, kind, monkeypatch):
  monkeypatch.setattr(sys, 'stderr', stream)
  display = progress_bar.for_terminal(3)
  display.close()
  assert type(display) is kind


def test_a_terminal_that_does_not_know_its_size_has_a_bar_too(monkeypatch):
  ours, theirs = os.openpty()
  assert 0 in os.get_terminal_size(theirs)
  with os.fdopen(theirs, 'w') as stream:
    monkeypatch.setattr(sys, 'stderr', stream)
    progress_bar.bar(total=30).close()
    assert b' 0/30 ' in os.read(ours, 4096)
  os.close(ours)
