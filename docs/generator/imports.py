"""Rooms, floors and imports, for the tests and for docs/imports.svg."""

import ast
import pathlib
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).parents[2]
# The rooms of the house, from the ground up: each imports from floors below it.
FLOORS = (
  ('errors',),
  ('own_code',),
  ('registry', 'runtime'),
  ('norms', 'models', 'data'),
  ('program', 'records'),
  ('probes', 'journal', 'analysis'),
  ('validation',),
  ('training',),
  ('sweeps', 'configs'),
  ('commands', 'benchmarks', 'experiments'),
  ('scripts', 'docs', 'tests'),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FOLDERS = (
  'normlab',
  'configs',
  'experiments',
  'benchmarks',
  'scripts',
  'docs',
)


def files(folder: str) -> list[pathlib.Path]:
  """The modules in a folder of the checkout, at any depth."""
  return sorted((ROOT / folder).rglob('*.py'))


FILES = [path for folder in FOLDERS for path in files(folder)]


def room(parts: Sequence[str]) -> str:
  """The room of a module: a part of the package, or a folder beside it."""
  return parts[1] if parts[0] == 'normlab' and len(parts) > 1 else parts[0]


def room_of(path: pathlib.Path) -> str:
  """The room of a file; '__init__' for that of the package."""
  return room(path.relative_to(ROOT).with_suffix('').parts)


def imported(path: pathlib.Path) -> set[str]:
  """The rooms of the project that a file imports from."""
  names = set()
  for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      names |= {f'{node.module}.{alias.name}' for alias in node.names}
  return {room(name.split('.')) for name in names} & {*FLOOR}


def arrows() -> dict[str, set[str]]:
  """The other rooms that each room imports from."""
  found: dict[str, set[str]] = {}
  for path in FILES:
    here = room_of(path)
    if here in FLOOR:
      found[here] = found.get(here, set()) | (imported(path) - {here})
  return found


def direct(graph: dict[str, set[str]]) -> dict[str, set[str]]:
  """The arrows that no chain of other arrows implies."""
  below: dict[str, set[str]] = {}
  for here in sorted(graph, key=FLOOR.get):
    below[here] = graph[here].union(*(below[there] for there in graph[here]))
  return {
    here: graph[here] - set().union(*(below[there] for there in graph[here]))
    for here in graph
  }
