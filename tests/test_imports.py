"""The architecture: who may import whom (DESIGN.md), and what must be listed."""

import ast
import importlib
import pathlib
import subprocess
import sys

import pytest

import experiments

ROOT = pathlib.Path(__file__).parents[1]
SIBLINGS = {'configs', 'experiments', 'scripts', 'tests'}
# Parts that import nothing of normlab but themselves, and the leaf `names`.
LEAVES = ('plotting', 'writers', 'records', 'metrics', 'optim', 'norms')


def imported(path: pathlib.Path) -> set[str]:
  """Dotted names of all modules that a file imports."""
  found = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      found.add(node.module)
      found |= {f'{node.module}.{alias.name}' for alias in node.names}
  return found


def tops(path: pathlib.Path) -> set[str]:
  return {name.split('.')[0] for name in imported(path)}


def parts_of_normlab(path: pathlib.Path) -> set[str]:
  """Second components of what a file imports from normlab."""
  return {
    name.split('.')[1] for name in imported(path) if name.startswith('normlab.')
  }


def files(folder: str) -> list[pathlib.Path]:
  return sorted((ROOT / folder).rglob('*.py'))


@pytest.mark.parametrize('path', files('normlab'), ids=str)
def test_the_library_imports_no_sibling_folder(path):
  assert not tops(path) & SIBLINGS


@pytest.mark.parametrize('path', files('configs'), ids=str)
def test_configs_import_ml_collections_and_configs_only(path):
  assert tops(path) <= {'ml_collections', 'configs'}


@pytest.mark.parametrize('path', files('experiments'), ids=str)
def test_experiments_import_no_scripts(path):
  assert not tops(path) & {'scripts', 'tests', 'cli'}


@pytest.mark.parametrize('path', files('normlab/models'), ids=str)
def test_models_never_import_norms(path):
  assert parts_of_normlab(path) <= {'models', 'names'}


@pytest.mark.parametrize('part', LEAVES)
def test_leaves_import_no_other_part(part):
  folder = ROOT / 'normlab' / part
  for path in files(f'normlab/{part}') or [folder.with_suffix('.py')]:
    assert parts_of_normlab(path) <= {part, 'names'}


def test_every_experiment_is_listed():
  here = (ROOT / 'experiments').iterdir()
  modules = {p.stem for p in here if p.is_dir() or p.suffix == '.py'}
  modules -= {'__init__', '__pycache__', 'results'}
  assert modules == set(experiments.EXPERIMENTS)


@pytest.mark.parametrize('name', experiments.EXPERIMENTS)
def test_every_experiment_has_its_parts(name):
  module = importlib.import_module(f'experiments.{name}')
  for part in ('SCALES', 'runs', 'analyze', 'present', 'judge', 'plot'):
    assert hasattr(module, part)


def test_nothing_is_called_utils_or_common():
  folders = SIBLINGS | {'normlab'}
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
