"""Tests run on the CPU, with eight simulated devices, and their own data."""

import os
import pathlib
import tempfile

# Before anything imports JAX. The folders are shared by all workers, and by the
# processes that tests start.
os.environ['JAX_PLATFORMS'] = 'cpu'
os.environ['XLA_FLAGS'] = (
  os.environ.get('XLA_FLAGS', '')
  + ' --xla_force_host_platform_device_count=8'
  # Most programs here run once, on tiny arrays: half of all time is compiling.
  + ' --xla_backend_optimization_level=1'
)
os.environ['TFDS_DATA_DIR'] = os.path.join(
  tempfile.gettempdir(), f'normlab_test_data_{os.getuid()}'
)

import pytest  # noqa: E402

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope='session')
def root() -> pathlib.Path:
  return ROOT


@pytest.fixture(scope='session')
def shared_data() -> str:
  folder = ROOT.parent / 'shared' / 'tensorflow_datasets'
  if not folder.is_dir():
    pytest.skip('the prepared CIFAR-10 and MNIST are not here')
  return str(folder)
