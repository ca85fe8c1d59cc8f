"""Data sets of own code, by their import path."""

import sys

import numpy as np
import pytest

from normlab import data, errors


@pytest.mark.parametrize('path', ['own_sets:made', 'own_sets:Held'])
def test_a_set_of_own_code_is_described_and_read(path):
  found = data.describe(path)
  assert found.sizes == {'train': 6, 'validation': 4, 'test': 2}
  assert (found.image_shape, found.num_classes) == ((3, 3, 1), 2)
  assert not data.is_streamed(path)
  splits = data.load(path)
  assert splits['train'].images.tolist() == np.full((6, 3, 3, 1), 6).tolist()
  assert splits['test'].labels.dtype == np.int32


def test_a_module_can_be_a_set():
  import own_sets

  sys.modules['package_of_sets'] = type(sys)('package_of_sets')
  sys.modules['package_of_sets'].own_sets = own_sets
  assert data.describe('package_of_sets:own_sets').sizes == own_sets.sizes
  del sys.modules['package_of_sets']


def test_a_regression_has_float_labels():
  assert data.describe('own_sets:regression').is_regression
  assert data.load('own_sets:regression')['test'].labels.shape == (2, 2)


@pytest.mark.parametrize(
  'name, said',
  [
    ('absent', "has no 'absent'"),
    ('failing', 'fails with OSError: disk'),
    ('Partly', 'has no splits, image_shape, num_classes; must have'),
    ('sizes', 'must have splits, sizes, image_shape, num_classes'),
    ('fails', 'fails with ZeroDivisionError'),
    ('without_test', "has no images and labels of 'validation'"),
    ('floats', 'float64 (6, 3, 3, 1) and int32 (6,); must be uint8 (6, 3, 3, '),
    ('float_labels', 'and float64 (6,); must be uint8 (6, 3, 3, 1) and int32'),
    ('few_classes', "labels of 'train' are from 0 to 1; must be from 0 to 0"),
    ('short', 'are uint8 (5, 3, 3, 1) and int32 (6,); must be uint8 (6, '),
  ],
)
def test_what_is_no_data_set_is_a_line(name, said):
  with pytest.raises(errors.ConfigError) as error:
    data.load(f'own_sets:{name}')
  (line,) = error.value.problems
  assert line.startswith(f"data set 'own_sets:{name}'") and said in line, line
