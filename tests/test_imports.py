"""The architecture: who may import whom, and what must be listed."""

import ast
import subprocess
import sys

import pytest

import experiments
import normlab
from docs.generator.imports import (
  FILES,
  FLOOR,
  FOLDERS,
  ROOT,
  files,
  imported,
  room_of,
)


@pytest.mark.parametrize('path', FILES, ids=str)
def test_imports_lead_down(path):
  here = room_of(path)
  if here != '__init__':
    above = {there for there in imported(path) if FLOOR[there] >= FLOOR[here]}
    assert above <= {here}


def test_every_room_is_on_a_floor():
  assert {*map(room_of, FILES)} - {'__init__'} == {*FLOOR} - {'tests'}


def test_the_map_has_a_line_for_every_part_of_the_package():
  parts = {room_of(path) for path in files('normlab')} - {'__init__'}
  lines = normlab.__doc__.splitlines()
  assert parts == {line.split()[0] for line in lines if line.startswith('  ')}


@pytest.mark.parametrize('path', files('configs'), ids=str)
def test_configs_are_data(path):
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.ImportFrom):
      assert node.module.split('.')[0] in ('configs', 'ml_collections')
    elif isinstance(node, ast.Import):
      assert {alias.name for alias in node.names} <= {'ml_collections'}


def test_every_experiment_is_listed():
  here = (ROOT / 'experiments').iterdir()
  modules = {p.stem for p in here if p.is_dir() or p.suffix == '.py'}
  modules -= {'__init__', '__pycache__', 'base', 'published'}
  assert modules == set(experiments.EXPERIMENTS)


def test_nothing_is_called_utils_or_common():
  folders = (*FOLDERS, 'tests')
  names = {path.stem for folder in folders for path in files(folder)}
  assert not names & {'utils', 'common', 'helpers', 'misc'}


def test_a_class_name_exists_once():
  names = [
    node.name
    for path in FILES
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
    if isinstance(node, ast.ClassDef)
  ]
  assert not {name for name in names if names.count(name) > 1}


def test_scripts_are_thin():
  for path in (ROOT / 'scripts').glob('*.py'):
    tree = ast.parse(path.read_text())
    body = [n for n in tree.body if isinstance(n, ast.FunctionDef)]
    lines = sum(n.end_lineno - n.lineno + 1 for n in body)
    assert path.stem == 'cli' or lines <= 40, path


def test_training_imports_nothing_slow_that_it_may_not_need():
  code = (
    'import sys, normlab.training.loop, normlab.commands.reproduce; '
    'print({"tensorflow", "torch", "matplotlib.pyplot", "grain", '
    '"orbax.checkpoint"} & {*sys.modules})'
  )
  result = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert result.stdout.strip() == 'set()'
