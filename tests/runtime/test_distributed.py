"""What processes tell each other; tests of two processes are those of runs."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normlab import errors
from normlab.runtime import distributed

LONGEST = distributed.TEXT_LENGTH - 1


@given(
  st.none() | st.text(st.characters(codec='utf-8', exclude_characters='\0'))
)
@settings(max_examples=50, deadline=None)
def test_text_arrives_as_it_was_sent(text):
  message = distributed.encoded(text)
  assert message.shape == (distributed.TEXT_LENGTH,)
  assert message.dtype == np.uint8
  assert distributed.decoded(message) == text


def test_what_is_no_text_arrives_as_question_marks():
  assert distributed.decoded(distributed.encoded('run\udcff')) == 'run?'


def test_empty_text_is_not_the_absence_of_one():
  assert distributed.decoded(distributed.encoded('')) == ''
  assert distributed.decoded(distributed.encoded(None)) is None


@pytest.mark.parametrize('letter', ['x', '×', '漢'])
def test_text_that_is_too_long_is_cut(letter):
  found = distributed.decoded(distributed.encoded(letter * (LONGEST + 1)))
  whole = LONGEST // len(letter.encode())
  assert found[:whole] == letter * whole
  assert len(found) <= whole + 1


@pytest.mark.parametrize('host', ['localhost', '10.0.0.1', '[::1]'])
def test_numbers_that_fit_are_accepted(host):
  distributed.check_numbers(f'{host}:65535', 4, 3)
  distributed.check_numbers(f'{host}:1', 1, 0)


@pytest.mark.parametrize(
  'coordinator, num_processes, process_id, text',
  [
    ('localhost', 2, 0, "--coordinator='localhost' is not allowed: must be"),
    (':8000', 2, 0, "--coordinator=':8000' is not allowed"),
    ('host:', 2, 0, "--coordinator='host:' is not allowed"),
    ('host:port', 2, 0, "--coordinator='host:port' is not allowed"),
    ('host:0', 2, 0, "--coordinator='host:0' is not allowed"),
    ('host:65536', 2, 0, "--coordinator='host:65536' is not allowed"),
    ('host:-1', 2, 0, "--coordinator='host:-1' is not allowed"),
    ('', 2, 0, "--coordinator='' is not allowed"),
    ('host:1', None, 0, '--num_processes=None is not allowed with'),
    ('host:1', 0, 0, '--num_processes=0 is not allowed with --coordinator'),
    ('host:1', 2, None, '--process_id=None is not allowed with'),
    ('host:1', 2, -1, '--process_id=-1 is not allowed with'),
    ('host:1', 2, 2, 'must be from 0 to 1'),
  ],
)
def test_numbers_that_do_not_fit_are_named(
  coordinator, num_processes, process_id, text
):
  with pytest.raises(errors.ConfigError) as error:
    distributed.check_numbers(coordinator, num_processes, process_id)
  assert text in str(error.value)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize('kind', [ValueError, RuntimeError])
def test_processes_that_cannot_be_joined_are_an_error_of_one_line(
  kind, monkeypatch
):
  def fail(*_):
    raise kind('nobody is there\nand more')

  monkeypatch.setattr(jax.distributed, 'initialize', fail)
  monkeypatch.setattr(jax.config, 'update', lambda *_: None)
  with pytest.raises(errors.ConfigError) as error:
    distributed.initialize()
  text = str(error.value)
  assert 'cannot join the other processes: ' in text
  assert 'nobody is there and more; give --coordinator=HOST:PORT' in text
  assert '\n' not in text


def test_bad_numbers_are_refused_before_jax_waits(monkeypatch):
  monkeypatch.setattr(
    jax.distributed, 'initialize', lambda *_: pytest.fail('waits')
  )
  with pytest.raises(errors.ConfigError, match='must be HOST:PORT'):
    distributed.initialize('nowhere', 2, 0)


def test_one_process_tells_itself():
  assert distributed.is_alone() and distributed.is_primary()
  for text in (None, 'a problem'):
    assert distributed.told_by_primary(text) == text
    assert distributed.first_problem(text) == text
  assert distributed.any_process(True) and not distributed.any_process(False)
  distributed.wait_for_all('nobody')
