"""Tests run on the CPU, with eight simulated devices, and their own data."""

import gc
import importlib.metadata
import itertools
import os
import pathlib
import tempfile
from collections.abc import Iterator

# XLA ends a process over a flag that it does not know, and 0.10 is the last
# release known to have this one.
OLDER_EMITTERS = tuple(
  map(int, importlib.metadata.version('jaxlib').split('.')[:2])
) < (0, 11)

XLA_FLAGS = [
  '--xla_force_host_platform_device_count=8',
  # Most programs here run once, on tiny arrays: nearly all time is compiling.
  '--xla_backend_optimization_level=0',
  '--xla_cpu_parallel_codegen_split_count=1',
  # The older emitters of loops compile in half the time.
  *['--xla_cpu_use_fusion_emitters=false'] * OLDER_EMITTERS,
]

# Before anything imports JAX.
os.environ['JAX_PLATFORMS'] = 'cpu'
os.environ['XLA_FLAGS'] = ' '.join(
  [os.environ.get('XLA_FLAGS', ''), *XLA_FLAGS]
)
# Shared by all workers, and by the processes that tests start.
if 'PYTEST_XDIST_WORKER' not in os.environ:
  DATA = tempfile.TemporaryDirectory(prefix='normlab_test_data_')
  os.environ['TFDS_DATA_DIR'] = DATA.name

import jax  # noqa: E402
import pytest  # noqa: E402

ROOT = pathlib.Path(__file__).parents[1]


# Tests of one file, after which its own programs are dropped too.
MANY = 400


@pytest.fixture(autouse=True)
def few_programs(tests_so_far: Iterator[int]) -> None:
  """Keeps a worker below 2 GiB in files with thousands of cases."""
  if next(tests_so_far) % MANY == MANY - 1:
    jax.clear_caches()


@pytest.fixture(scope='module')
def tests_so_far() -> Iterator[int]:
  return itertools.count()


@pytest.fixture(autouse=True, scope='module')
def small_heap() -> None:
  """Drops the programs of earlier files, of which JAX keeps 5 GiB in all.

  What is left is kept out of garbage collections: closing a stream makes one.
  """
  jax.clear_caches()
  gc.unfreeze()
  gc.collect()
  gc.freeze()


@pytest.fixture(scope='session')
def fusing_options() -> dict[str, bool]:
  """Compiler options under which a program has the fusions of its users."""
  return {'xla_cpu_use_fusion_emitters': True} if OLDER_EMITTERS else {}


@pytest.fixture(scope='session')
def root() -> pathlib.Path:
  return ROOT


@pytest.fixture(scope='session')
def shared_data() -> str:
  folder = ROOT.parent / 'shared' / 'tensorflow_datasets'
  if not folder.is_dir():
    pytest.skip('the prepared CIFAR-10 and MNIST are not here')
  return str(folder)
