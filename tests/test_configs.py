import ast
import importlib
import json
import pathlib

import pytest

import configs
from configs import base
from normlab import errors, records, validation
from normlab.data.sets import sources
from normlab.program import programs

FOLDER = pathlib.Path(configs.__file__).parent
FILES = sorted(path for path in FOLDER.rglob('*.py') if path.stem != '__init__')


def parts(path):
  return path.relative_to(FOLDER).with_suffix('').parts


@pytest.fixture(params=FILES, ids=lambda path: '/'.join(parts(path)))
def path(request):
  return request.param


@pytest.fixture
def module(path):
  return importlib.import_module('.'.join(['configs', *parts(path)]))


@pytest.fixture
def config(module):
  return module.get_config()


def test_configs_are_found():
  assert {('base',), ('digits_cnn',), ('speedup', 'digits')} <= {
    *map(parts, FILES)
  }


def test_is_labelled_as_its_file(config, path):
  *folder, name = parts(path)
  # Scales of an experiment that differ in seeds alone share a label.
  start = ''.join(f'{part}_' for part in folder)
  assert config.label.startswith(start) and (folder or config.label == name)


def test_is_locked(config):
  assert config.is_locked
  with pytest.raises(AttributeError):
    config.new_field = 1
  for section in ('data', 'model', 'norm', 'optimizer', 'schedule'):
    with pytest.raises(AttributeError):
      config[section].new_field = 1


def test_has_exactly_the_fields_of_base(config):
  fields, known = (records.flatten(c) for c in (config, base.get_config()))
  assert list(fields) == list(known)


def test_builds_a_new_config_each_time(module):
  first, second = module.get_config(), module.get_config()
  first.optimizer.learning_rate = 123.0
  first.seed = 456
  assert second.optimizer.learning_rate != 123.0
  assert second.seed == 0


def test_survives_json(config):
  stored = records.resolved(config)
  read = json.loads(json.dumps(stored))
  assert read == stored
  again = base.get_config()
  again.update(read)
  assert records.resolved(again) == stored
  assert programs.build(again, 10) == programs.build(config, 10)
  assert records.run_name(again) == records.run_name(config)


def test_tuples_survive_json():
  config = base.get_config()
  config.model.widths = (3, 4)
  config.schedule.boundaries = (10, 20)
  again = base.get_config()
  again.update(json.loads(json.dumps(records.resolved(config))))
  assert again.model.widths == (3, 4)
  assert again.schedule.boundaries == (10, 20)


def test_can_be_trained(config, request):
  if config.data.name not in sources.EMBEDDED:
    config.data.data_dir = request.getfixturevalue('shared_data')
  try:
    validation.check(config)
  except errors.ConfigError as error:
    if 'is not prepared' not in str(error):
      raise
    pytest.skip(str(error))


def test_evaluates_and_logs_within_the_run(config):
  assert config.total_steps % config.eval_every == 0
  assert config.log_every <= config.total_steps


def test_schedule_ends_with_the_run(config):
  steps = config.schedule.decay_steps
  assert steps is None or steps == config.total_steps


def test_says_how_to_run_it(path):
  if path.stem == 'base':
    pytest.skip('is a base, not a run')
  text = ast.get_docstring(ast.parse(path.read_text()))
  assert 'python scripts/' in text
  # Times of experiments are measured: scripts/reproduce.py --list.
  assert 'Time:' in text or len(parts(path)) > 1
