"""What a type checker says of the layers, and of those who use them."""

import json
import pathlib
import subprocess
import sys

import pytest

pytest.importorskip('pyright', reason='pyright is not installed')

# Drop-in for flax.linen, and what the README shows.
RIGHT = """
import jax
import jax.numpy as jnp
from flax import linen as nn

import normlab
from normlab import norms


class Net(nn.Module):
  norm: norms.NormFactory | None = None
  kernel_norm: norms.NormFactory | None = None

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    x = norms.BatchNorm(momentum=0.9)(x, use_running_average=True)
    x = normlab.norms.BatchNorm(True, -1, 0.9, name='norm')(x)
    x = norms.LpBatchNorm(p='inf', axis=(0, 1))(x, not train)
    x = norms.BatchRenorm(r_max=norms.PAPER_R_MAX)(x, not train)
    x = norms.SpectralNorm(nn.Dense(3), n_steps=2)(x, update_stats=train)
    hooks = norms.build(name='group', num_groups=8)
    return hooks(name='group')(x, use_running_average=not train)


model, x = Net(**norms.build(name='weight')), jnp.ones((2, 8))
variables = model.init(jax.random.key(0), x, train=False)
norms.recalibrate(model, variables, [x])
norms.fold(variables, norms.BatchNorm())
norms.apply_with_mixed_statistics(model, variables, x, source_count=16)
state = norms.spectral_state(variables['params'], jax.random.key(0))
penalty, state = norms.spectral_penalty(variables['params'], state)
y: jax.Array = norms.LayerNorm()(x)
"""

# Wrong in every line but the first.
WRONG = """from normlab import norms
norms.BatchNorm(momentum='x')
norms.BatchNorm(momentun=0.9)
norms.LpBatchNorm(p='infinity')
norms.BatchNorms
norms.LayerNorm()([1.0])
"""


@pytest.fixture(scope='module')
def errors(
  root: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> set[tuple[str, int]]:
  """File and line, from 0, of all that pyright in basic mode finds wrong."""
  folder = tmp_path_factory.mktemp('user')
  (folder / 'right.py').write_text(RIGHT)
  (folder / 'wrong.py').write_text(WRONG)
  files = [*(root / 'normlab/norms').rglob('*.py'), *folder.glob('*.py')]
  command = ['-m', 'pyright', '--pythonpath', sys.executable, '--outputjson']
  result = subprocess.run(
    [sys.executable, *command, *map(str, files)],
    cwd=root,
    capture_output=True,
    text=True,
  )
  try:
    report = json.loads(result.stdout)
  except ValueError:  # It downloads Node where there is none.
    pytest.skip(f'pyright does not start: {result.stderr[-500:]}')
  assert report['summary']['filesAnalyzed'] == len(files)
  return {
    (found['file'], found['range']['start']['line'])
    for found in report['generalDiagnostics']
    if found['severity'] == 'error'
  }


def test_the_layers_are_typed(errors, root):
  layers = str(root / 'normlab')
  assert not [found for found in errors if found[0].startswith(layers)]


def test_a_model_with_the_layers_is_accepted(errors):
  assert not [line for file, line in errors if file.endswith('/right.py')]


def test_every_wrong_use_is_rejected(errors):
  lines = {line for file, line in errors if file.endswith('/wrong.py')}
  assert lines == set(range(1, len(WRONG.splitlines())))
