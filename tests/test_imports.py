"""The architecture: who may import whom (DESIGN.md), and what must be listed."""

import ast
import importlib
import pathlib
import subprocess
import sys
from collections.abc import Sequence

import pytest

import experiments

ROOT = pathlib.Path(__file__).parents[1]
# The rooms of the house, from the ground up: each imports from floors below it.
FLOORS = (
  ('errors', 'configs'),
  ('registry', 'records', 'runtime'),
  ('norms', 'models', 'analysis'),
  ('data',),
  ('program',),
  ('validation', 'journal'),
  ('training',),
  ('sweeps',),
  ('commands', 'experiments', 'benchmarks'),
  ('scripts', 'tests'),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FOLDERS = ('normlab', 'configs', 'experiments', 'benchmarks', 'scripts')


def files(folder: str) -> list[pathlib.Path]:
  return sorted((ROOT / folder).rglob('*.py'))


FILES = [path for folder in FOLDERS for path in files(folder)]


def room(parts: Sequence[str]) -> str:
  """The room of a module: a part of the package, or a folder beside it."""
  return parts[1] if parts[0] == 'normlab' and len(parts) > 1 else parts[0]


def imported(path: pathlib.Path) -> set[str]:
  """The rooms of the project that a file imports from."""
  names = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      names |= {f'{node.module}.{alias.name}' for alias in node.names}
  return {room(name.split('.')) for name in names} & {*FLOOR}


@pytest.mark.parametrize('path', FILES, ids=str)
def test_imports_lead_down(path):
  here = room(path.relative_to(ROOT).with_suffix('').parts)
  if here != '__init__':
    above = {there for there in imported(path) if FLOOR[there] >= FLOOR[here]}
    assert above <= {here}


def test_every_room_is_on_a_floor():
  parts = (path.relative_to(ROOT).with_suffix('').parts for path in FILES)
  assert {room(names) for names in parts} - {'__init__'} == {*FLOOR} - {'tests'}


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
  modules -= {'__init__', '__pycache__', 'published'}
  assert modules == set(experiments.EXPERIMENTS)


@pytest.mark.parametrize('name', experiments.EXPERIMENTS)
def test_every_experiment_has_its_parts(name):
  module = importlib.import_module(f'experiments.{name}')
  for part in ('SCALES', 'runs', 'analyze', 'present', 'judge', 'plot'):
    assert hasattr(module, part)


def test_nothing_is_called_utils_or_common():
  folders = (*FOLDERS, 'tests')
  names = {path.stem for folder in folders for path in files(folder)}
  assert not names & {'utils', 'common', 'helpers', 'misc'}


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
