"""Own code by its import path: what is found, and why something is not."""

import collections.abc
import subprocess
import sys
import typing

import pytest

from normlab import errors, own_code, registry

Sequence = collections.abc.Sequence


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """Writes a module to where own code is taken from; returns its path."""
  monkeypatch.setattr(sys, 'path', [*sys.path])
  monkeypatch.setattr(own_code, '_folders', [])
  monkeypatch.setattr(own_code, '_added', set())
  before = {*sys.modules}

  def write(name, text):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    own_code.take_from(str(tmp_path))
    return str(path)

  yield write
  for name in {*sys.modules} - before:
    if getattr(sys.modules[name], '__file__', None) and str(tmp_path) in str(
      sys.modules[name].__file__
    ):
      del sys.modules[name]


def line_of(path, kind='model', table=()):
  with pytest.raises(errors.ConfigError) as error:
    registry.find(kind, path, table)
  (line,) = error.value.problems
  assert '\n' not in line and len(line) < 600
  assert line.startswith(f'{kind} {path!r}')
  return line


def test_a_name_is_looked_up_and_a_path_is_imported(folder):
  folder('found_thing.py', 'class A:\n  B = int\ndef f(): return 3\n')
  assert registry.find('model', 'a', {'a': len}) is len
  assert registry.find('model', 'found_thing:f', {})() == 3
  assert registry.find('model', 'found_thing:A.B', {}) is int
  assert registry.find('model', 'math:sqrt', {})(4) == 2


def test_a_package_beside_the_config_is_found(folder):
  folder('own_package/__init__.py', '')
  folder('own_package/inner.py', 'VALUE = dict')
  assert own_code.imported('norm', 'own_package.inner:VALUE') is dict


def test_the_environment_comes_first(folder):
  sys.modules.pop('colorsys', None)
  folder('colorsys.py', 'hls_to_rgb = 5')
  assert callable(own_code.imported('metric', 'colorsys:hls_to_rgb'))


def test_a_module_that_is_not_there_says_where_it_was_looked_for(folder):
  here = folder('some_thing.py', '').rpartition('/')[0]
  line = line_of('absent_thing:A')
  assert "there is no module 'absent_thing' (looked in the env" in line
  assert line.endswith(f'in {here!r})')
  assert "no module 'some_thing.x'" in line_of('some_thing.x:A')
  own_code.take_from('/absent')
  assert line_of('absent_thing:A').endswith(
    "in '/absent', which is not on this machine)"
  )


def test_a_module_of_another_folder_is_not_taken_for_that_of_this(
  folder, tmp_path
):
  folder('first/same_name.py', 'def f(): return 1')
  folder('second/same_name.py', 'def f(): return 2')
  own_code.take_from(str(tmp_path / 'first'))
  assert own_code.imported('model', 'same_name:f')() == 1
  own_code.take_from(str(tmp_path / 'second'))
  line = line_of('same_name:f')
  assert 'first/same_name.py' in line and line.endswith('start a new one')
  own_code.take_from(str(tmp_path / 'first'))
  assert own_code.imported('model', 'same_name:f')() == 1
  own_code.take_from(str(tmp_path / 'second'))
  del sys.modules['same_name']
  assert own_code.imported('model', 'same_name:f')() == 2


def test_an_attribute_that_is_not_there_has_its_nearest(folder):
  path = folder('has_vgg.py', 'class VGG: pass')
  assert line_of('has_vgg:VG') == (
    f"model 'has_vgg:VG': module 'has_vgg' ({path}) has no 'VG'; did you mean "
    "'VGG'?"
  )


@pytest.mark.parametrize('value', ['3', 'None', "'text'", '[1]'])
def test_what_cannot_be_called_is_refused(folder, value):
  folder('values_of_mine.py', f'VALUE = {value}')
  sys.modules.pop('values_of_mine', None)
  line = line_of('values_of_mine:VALUE')
  assert line.endswith(f'is {value}; must be a class or a function')


@pytest.mark.parametrize(
  'text, said',
  [
    ('\nundefined', 'NameError'),
    ('\nimport absent_library', "No module named 'absent_library'"),
    ('\nraise SystemExit(3)', 'SystemExit: 3'),
    ('\ndef f(:', 'SyntaxError'),
    ('\nraise ValueError("a\\nb")', 'ValueError: a b'),
  ],
)
def test_a_module_that_fails_says_where(folder, text, said):
  path = folder('failing_module.py', text)
  line = line_of('failing_module:A')
  assert said in line and "module 'failing_module' fails with" in line
  assert path.rpartition('/')[2] in line and 'line 2' in line


@pytest.mark.parametrize(
  'path', [':A', 'a:', 'a b:C', '.a:B', 'a:b:c', 'a/b:C']
)
def test_what_is_no_import_path_is_refused(path):
  assert 'must be MODULE:NAME' in line_of(path)


@pytest.mark.parametrize(
  'kind, fitting, others',
  [
    (int, [3], [3.0, True, 'a', (3,)]),
    (float, [3, 0.5], [True, '0.5']),
    (bool, [True], [1, 'True']),
    (str, ['a'], [1, ('a',)]),
    (float | None, [0.5], ['a']),
    (tuple[int, ...], [(1, 2), [], [1]], [(1.5,), 'ab', 3]),
    (Sequence[int], [(1, 2)], ['12', ('a',), 1]),
    (typing.Literal['a', 'b'], ['a'], ['c', 1]),
    (collections.abc.Callable[..., int], [], ['a', 1]),
    (typing.Any, [1, 'a', (1,)], []),
  ],
  ids=str,
)
def test_a_value_has_the_type_of_its_argument(kind, fitting, others):
  assert all(own_code.fits(value, kind) for value in fitting)
  assert not any(own_code.fits(value, kind) for value in others)


def test_an_argument_without_a_type_has_that_of_its_default():
  def owner(a, b=3, *args, c='x', d=None, e: float = 1, **kwargs):
    pass

  known = own_code.parameters(owner)
  assert [*known] == ['a', 'b', 'c', 'd', 'e']
  kinds = [known[name].annotation for name in known]
  assert kinds == [typing.Any, int, str, typing.Any, float]
  assert registry.missing_arguments(owner, {}) == ['a']


def test_a_file_that_is_run_is_not_run_again(root, tmp_path):
  """In a process of its own: it is about `sys.modules`."""
  (tmp_path / 'ran_once.py').write_text(
    'import beside_it\nprint("run")\nclass A(beside_it.B): pass\n'
  )
  (tmp_path / 'beside_it.py').write_text('class B: pass\n')
  (tmp_path / 'random.py').write_text('print("run")\n')
  code = (
    'from normlab import own_code\nfrom normlab.commands import config_files\n'
    f'module = config_files.load({str(tmp_path / "ran_once.py")!r})\n'
    'assert own_code.imported("model", "ran_once:A") is module.A\n'
    f'config_files.load({str(tmp_path / "random.py")!r})\n'
    'import random\nassert random.random() < 1\n'
  )
  found = subprocess.run(
    [sys.executable, '-c', code], cwd=root, capture_output=True, text=True
  )
  assert (found.stdout, found.stderr) == ('run\nrun\n', '')
