import pytest


@pytest.fixture(scope='session')
def temporary_share(fusing_options):
  """The memory beside arguments and results that a program needs, by x's."""

  def share(function, x, *args):
    program = function.lower(x, *args).compile(fusing_options)
    size = program.memory_analysis().temp_size_in_bytes
    return size / (x.size * x.dtype.itemsize)

  return share
