"""Config files run once, and whatever is wrong with one is a line."""

import pytest
from ml_collections import config_dict

from configs import base
from normlab import errors, records
from normlab.commands import config_files
from normlab.sweeps import plan
from normlab.sweeps.language.hyper import MOST_ROWS

START = """
import itertools, sys, ml_collections
from configs import base
"""
CONFIG = 'def get_config():\n  config = base.get_config()\n'
HYPER = f'{CONFIG}  return config\ndef get_hyper(hyper):\n  '


@pytest.fixture
def file(tmp_path):
  """Writes a config file: file(text, start='') is its path."""

  def write(text, start=START):
    path = tmp_path / 'written.py'
    path.write_text(start + text)
    return str(path)

  return write


def load(path):
  return config_files.config_of(config_files.load(path))


def line_of(error):
  """The only line of the error, of a length that can be read."""
  (line,) = error.value.problems
  assert '\n' not in line and len(line) < 600
  return line


def test_a_file_runs_once_for_its_config_and_its_rows(file, tmp_path):
  text = f'open({str(tmp_path / "runs")!r}, "a").write("x")\n'
  text += f'{HYPER}return hyper.sweep("seed", [1, 2])'
  module = config_files.load(file(text))
  config_files.override(config_files.config_of(module), [('seed', '3')])
  assert plan.rows_of(module) == [{'seed': 1}, {'seed': 2}]
  assert (tmp_path / 'runs').read_text() == 'x'


def test_the_config_is_locked_and_given_what_stands_behind_the_colon(file):
  text = 'def get_config(label):\n  config = base.get_config().unlock()\n'
  path = file(f'{text}  config.label = label\n  return config')
  config = config_files.config_of(config_files.load(path), 'mine')
  assert config.label == 'mine' and config.is_locked


def test_a_file_may_define_dataclasses_whose_annotations_are_texts(file):
  text = 'import dataclasses\n@dataclasses.dataclass\nclass A:\n  a: int\n'
  start = 'from __future__ import annotations\n' + START
  path = file(f'{text}{CONFIG}  return config', start=start)
  assert load(path).label == 'base'


@pytest.mark.parametrize(
  'text, words',
  [
    ('raise IndexError', ['line 4 (raise IndexError)', 'with IndexError']),
    ('assert 1 == 2', ['(assert 1 == 2)', 'AssertionError']),
    ('sys.exit()', ['(sys.exit())', 'SystemExit']),
    ('sys.exit(0)', ['SystemExit: 0']),
    ('import absent_module', ["No module named 'absent_module'"]),
    ('def (', ['SyntaxError', 'line 4']),
    ('', ['no function get_config()', 'configs/digits_cnn.py']),
    ('get_config = 3', ['no function get_config()']),
    (f'{CONFIG}  assert False', ['get_config of', 'line 6', 'AssertionError']),
    (f'{CONFIG}  sys.exit()', ['line 6', 'SystemExit']),
    (f'{CONFIG}  open("/nowhere")', ['No such file', "'/nowhere'"]),
    (f'{CONFIG}', ['returns None; must be a config', 'configs/base.py']),
    ('def get_config(): return {"a": 1}', ["returns {'a': 1}; must be"]),
    ('def get_config(): return 3', ['returns 3; must be', 'configs/base.py']),
    (
      f'{CONFIG}  return ml_collections.FrozenConfigDict(config)',
      ['returns FrozenConfigDict; must be'],
    ),
    ('def get_config(x): pass', ['TypeError', "'x'"]),
    (f'{CONFIG}  config.sed = 1', ['line 6', "'sed'; did you mean 'seed'"]),
    (f'{CONFIG}  config.norm.epsilom = 1', ["did you mean 'norm.epsilon'"]),
    (f'{CONFIG}  config.nrom.name = 1', ["'nrom'; did you mean 'norm'"]),
    (f'{CONFIG}  config.seed = "a"', ['TypeError', "'seed'"]),
    (f'{CONFIG}  raise ValueError("x" * 10**6)', ['ValueError: xxx']),
  ],
)
def test_a_file_that_gives_no_config_is_one_line(file, text, words):
  path = file(text)
  with pytest.raises(errors.ConfigError) as error:
    load(path)
  line = line_of(error)
  assert path in line
  assert all(word in line for word in words), line


@pytest.mark.parametrize('path', ['absent.py', '.'])
def test_a_file_that_cannot_be_read_is_said(path):
  with pytest.raises(errors.ConfigError, match=f'{path}: cannot be read'):
    load(path)


@pytest.mark.parametrize(
  'text, words',
  [
    ('while True: yield {"seed": 1}', [f'more than {MOST_ROWS:,}']),
    (
      'return hyper.sweep("seed", itertools.count())',
      ['line 8', "'seed'", 'more than'],
    ),
    ('return hyper.chainit(iter(lambda: [], 0))', ['chainit: more than']),
    ('return hyper.zipit([itertools.repeat({})])', ['zipit: more than']),
    ('yield {"seed": 1}; assert False', ['line 8', 'AssertionError']),
    ('sys.exit()', ['line 8 (sys.exit())', 'SystemExit']),
  ],
)
def test_a_get_hyper_that_gives_no_rows_is_one_line(file, text, words):
  module = config_files.load(file(HYPER + text))
  with pytest.raises(errors.ConfigError) as error:
    plan.rows_of(module)
  line = line_of(error)
  assert all(word in line for word in ['get_hyper of', *words]), line


@pytest.mark.parametrize(
  'words, overrides',
  [
    (['--config.seed=1'], [('seed', '1')]),
    (['-config.seed', '1'], [('seed', '1')]),
    (['--config.seed', '-1'], [('seed', '-1')]),
    (['--config.profile'], [('profile', 'true')]),
    (['--config.profile', '--dry_run'], [('profile', 'true')]),
    (['--noconfig.profile', '--dry_run'], [('profile', 'false')]),
    (['--config.model.widths=(3,', '4)'], [('model.widths', '(3,')]),
    (['--config.label=a=b\nc'], [('label', 'a=b\nc')]),
    (['--config.=3'], [('', '3')]),
    (['--config=FILE', '--config', 'FILE', '--configs.a=1', 'x'], []),
  ],
)
def test_overrides_are_told_from_other_words(words, overrides):
  others, found = config_files.split(words)
  assert found == overrides
  assert others == [word for word in words if word in others]
  assert len(others) + len(found) in (len(words), len(words) - 1)


def test_no_field_takes_a_value_behind_no():
  with pytest.raises(ValueError, match='must be --noconfig.profile'):
    config_files.split(['--noconfig.profile=3'])


@pytest.mark.parametrize(
  'path, text, value',
  [
    ('seed', '0x10', 16),
    ('optimizer.learning_rate', '5', 5.0),
    ('norm.epsilon', '1e-3', 1e-3),
    ('norm.p', 'inf', float('inf')),
    ('profile', 'True', True),
    ('norm.use_scale', 'false', False),
    ('label', '3', '3'),
    ('data.data_dir', '', ''),
    ('model.widths', '(8,)', (8,)),
    ('model.widths', '8, 16', (8, 16)),
    ('schedule.boundaries', '[1, 2]', (1, 2)),
    ('eval_statistics', "('batch', 'running')", ('batch', 'running')),
  ],
)
def test_a_value_has_the_type_of_its_field(path, text, value):
  config = base.get_config()
  config_files.override(config, [(path, text)])
  found = records.flatten(config)[path]
  assert found == value and type(found) is type(value)


def test_the_last_of_two_values_counts():
  config = base.get_config()
  config_files.override(config, [('seed', '1'), ('seed', '2')])
  assert config.seed == 2


@pytest.mark.parametrize(
  'path, text, words',
  [
    (
      'norm',
      'group',
      "norm is a section, not a field; did you mean 'norm.name'",
    ),
    ('sed', '1', "unknown config field 'sed'; did you mean 'seed' or"),
    ('', '3', "unknown config field ''; configs/base.py lists all"),
    ('norm.name.x', '3', "field 'norm.name.x'; did you mean 'norm.name' or"),
    ('model.widths', '32', 'widths=32 is not allowed: must be whole numbers'),
    ('model.widths', '(3', "widths='(3' is not allowed: must be whole numbers"),
    ('eval_statistics', 'running', "='running' is not allowed: must be some"),
    ('seed', '1.5', "config.seed='1.5' is not allowed: must be a whole number"),
    ('optimizer.learning_rate', 'fast', "='fast' is not allowed: must be a fi"),
    ('profile', 'maybe', "profile='maybe' is not allowed: must be True or Fal"),
    ('seed', '9' * 5_000, 'config.seed='),
  ],
)
def test_an_override_that_does_not_fit_is_one_line(path, text, words):
  with pytest.raises(errors.ConfigError) as error:
    config_files.override(base.get_config(), [(path, text)])
  assert words in line_of(error)


def test_all_that_is_wrong_is_said_at_once(file):
  path = file('def get_config(): return ml_collections.ConfigDict({"seed": 1})')
  overrides = [('sed', '1'), ('seed', 'x'), ('batch_size', '3')]
  with pytest.raises(errors.ConfigError) as error:
    config_files.override(load(path), overrides)
  unknown, value, missing, rest = error.value.problems
  assert "'sed'" in unknown and "config.seed='x'" in value
  assert "the config lacks 'batch_size'" in missing
  assert "'data', 'model', 'norm' and 23 more" in rest


def test_a_reference_that_fails_is_one_line():
  config = base.get_config()
  divisor = config_dict.FieldReference(2)
  config.seed = config_dict.FieldReference(8) // divisor
  divisor.set(0)
  with pytest.raises(errors.ConfigError, match='config.seed has no value'):
    config_files.override(config, [('label', 'a')])


@pytest.mark.parametrize(
  'text, value',
  [
    ('3', 3),
    ('1e-3', 1e-3),
    ('true', True),
    ('(1, 2)', (1, 2)),
    ('[1]', (1,)),
    ('mean', 'mean'),
    ('None', None),
  ],
)
def test_an_option_is_read_as_python_writes_it(text, value):
  config = base.get_config()
  config_files.override(config, [('model.options.any', text)])
  found = config.model.options.any
  assert found == value and type(found) is type(value)
  assert config.is_locked
  config_files.override(config, [('model.options.any', 'another type')])
  assert config.model.options.any == 'another type'


@pytest.mark.parametrize(
  'path, said',
  [
    ('model.options.widths', 'must be config.model.widths'),
    ('norm.options.a.b', "unknown config field 'norm.options.a.b'"),
    ('norm.options', "unknown config field 'norm.options'"),
    ('data.options.a', "unknown config field 'data.options.a'"),
    ('norm.options.3', 'must be a name'),
  ],
)
def test_what_is_no_option_is_one_line(path, said):
  with pytest.raises(errors.ConfigError) as error:
    config_files.override(base.get_config(), [(path, '1')])
  assert said in line_of(error)


def test_the_folder_of_the_file_is_that_of_own_code(file, tmp_path):
  config = load(file(f'{CONFIG}  return config'))
  assert config.code_dir == str(tmp_path)
  assert records.identity(config) == records.identity(base.get_config())
  text = f'{CONFIG}  config.code_dir = "/elsewhere"\n  return config'
  assert load(file(text)).code_dir == '/elsewhere'
