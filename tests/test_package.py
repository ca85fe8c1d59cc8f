"""What is installed: the layers alone, and the code of one's own checkout."""

import email.parser
import os
import pathlib
import shutil
import subprocess
import sys
import venv
import zipfile

import pytest

import normlab

OF_THE_LAYERS = {'jax', 'flax', 'numpy'}
OF_NORMLAB = {'norms', 'errors', 'own_code', 'registry'}
NEEDS_LAB = "; the scripts need the extra lab: pip install -e '.[lab]'"
USE = """
import sys, jax, normlab
x = jax.numpy.arange(6.0).reshape(3, 2)
y, state = normlab.norms.BatchNorm().init_with_output(
  jax.random.key(0), x, use_running_average=False)
print(normlab.__version__, y.shape, normlab.__file__)
print(*sorted(name for name in sys.modules if name.startswith('normlab')))
"""


def run(*command, **kwargs):
  """A finished process, to which this one passes on no path of its own."""
  own = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
  return subprocess.run(
    [str(word) for word in command],
    capture_output=True,
    text=True,
    **{'env': own, **kwargs},
  )


def parts_of_normlab(modules: str) -> set[str]:
  """Second components of the modules' names."""
  return {name.split('.')[1] for name in modules.split() if '.' in name}


@pytest.fixture(scope='module')
def checkout(root, tmp_path_factory) -> pathlib.Path:
  """Another checkout, of which only the package and a script are copied."""
  folder = tmp_path_factory.mktemp('checkout')
  ignored = shutil.ignore_patterns('__pycache__')
  shutil.copytree(root / 'normlab', folder / 'normlab', ignore=ignored)
  (folder / 'scripts').mkdir()
  shutil.copy(root / 'scripts' / 'cli.py', folder / 'scripts')
  return folder


def test_the_layers_import_nothing_of_the_laboratory(root):
  found = run(sys.executable, '-c', USE, cwd=root, check=True).stdout
  assert parts_of_normlab(found.splitlines()[1]) == OF_NORMLAB


def test_a_script_uses_its_own_checkout(checkout):
  script = checkout / 'scripts' / 'where.py'
  script.write_text('import cli, normlab; print(normlab.__file__)')
  found = run(sys.executable, script, cwd='/', check=True).stdout.strip()
  assert found == str(checkout / 'normlab' / '__init__.py')


@pytest.mark.parametrize(
  'missing, imported, hint',
  [
    ('ml_collections', 'ml_collections', NEEDS_LAB),
    ('tensorboard', 'tensorboard', NEEDS_LAB),
    # A checkout that is not whole, which no extra mends.
    ('normlab.nothing', 'tensorboard', ''),
  ],
)
def test_a_script_without_a_module_says_so_in_a_line(
  root, tmp_path, missing, imported, hint
):
  error = f'No module named {missing!r}'
  (tmp_path / f'{imported}.py').write_text(
    f'raise ModuleNotFoundError({error!r}, name={missing!r})'
  )
  found = run(
    sys.executable,
    root / 'scripts' / 'train.py',
    f'--config={root / "configs" / "digits_cnn.py"}',
    f'--workdir={tmp_path / "run"}',
    env={**os.environ, 'PYTHONPATH': str(tmp_path)},
  )
  assert found.returncode == 1
  assert found.stderr == f'train.py: {error}{hint}\n'
  assert not (tmp_path / 'run').exists()


@pytest.fixture(scope='module')
def wheel(root, tmp_path_factory) -> pathlib.Path:
  """The wheel of a copy of the project, built by its own rules."""
  folder = tmp_path_factory.mktemp('wheel')
  source = folder / 'source'
  ignored = shutil.ignore_patterns('.*', 'runs', 'build', '*.egg-info', '__py*')
  shutil.copytree(root, source, ignore=ignored)
  pip = [sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps']
  built = run(*pip, '--wheel-dir', folder, source)
  if built.returncode:
    pytest.skip(f'pip cannot build here: {built.stderr.strip()[-200:]}')
  return next(folder.glob('*.whl'))


@pytest.mark.slow
def test_the_wheel_holds_the_package_typed_and_nothing_beside_it(wheel):
  with zipfile.ZipFile(wheel) as files:
    names = files.namelist()
    metadata = files.read(next(n for n in names if n.endswith('/METADATA')))
  version = normlab.__version__
  tops = {name.split('/')[0] for name in names}
  assert tops == {'normlab', f'normlab-{version}.dist-info'}
  assert 'normlab/py.typed' in names
  fields = email.parser.BytesParser().parsebytes(metadata)
  assert fields['Version'] == version
  needed = [n for n in fields.get_all('Requires-Dist') if 'extra ==' not in n]
  assert {name.split('>')[0].split('=')[0] for name in needed} == OF_THE_LAYERS


@pytest.mark.slow
def test_the_wheel_alone_has_the_layers(wheel, root, tmp_path):
  home = tmp_path / 'empty'
  venv.create(home, with_pip=True)
  python = home / 'bin' / 'python'
  constraints = root / 'constraints.txt'
  pip = [python, '-m', 'pip', 'install', '--quiet', '--constraint', constraints]
  installed = run(*pip, wheel)
  if installed.returncode:
    pytest.skip(f'pip cannot install here: {installed.stderr.strip()[-200:]}')
  # A user's project may have a folder of this name.
  user = tmp_path / 'project'
  (user / 'configs').mkdir(parents=True)
  (user / 'configs' / '__init__.py').write_text('mine = True')
  code = f'{USE}\nimport configs; assert configs.mine'
  used, parts = run(
    python, '-c', code, cwd=user, check=True
  ).stdout.splitlines()
  assert used.startswith(f'{normlab.__version__} (3, 2) {home}')
  assert parts_of_normlab(parts) == OF_NORMLAB
  missing = run(python, '-c', 'import ml_collections', cwd=user)
  assert missing.returncode == 1
