import zlib

import numpy as np
import pytest

from normlab import data, errors
from normlab.data.sets import linear_map, regressions, sources, valley

# CRC-32 of the training split: other numbers are another data set. Of what is
# rounded, as LAPACK's last digits differ between machines.
CHECKSUMS = {
  'linear_map': 2_465_184_998,
  'valley/raw': 1_925_728_026,
}
NAMES = ['linear_map', *(f'valley/{name}' for name in valley.PREPARATIONS)]


def features(name, split='train'):
  x = sources.load(name)[split].images
  return x.reshape(len(x), -1).astype(np.float64)


def targets(name, split='train'):
  return sources.load(name)[split].labels.astype(np.float64)


@pytest.mark.parametrize('name', [*CHECKSUMS])
def test_numbers_are_those_of_this_version(name):
  found = np.hstack([features(name), targets(name)])
  assert zlib.crc32(np.round(found, 3) + 0.0) == CHECKSUMS[name]


@pytest.mark.parametrize('name', NAMES)
def test_sizes_and_types_are_those_described(name):
  described = sources.describe(name)
  assert described.is_regression
  for split, examples in sources.load(name).items():
    size = described.sizes[split]
    assert examples.images.shape == (size, *described.image_shape)
    assert examples.labels.shape == (size, described.num_classes)
    assert examples.images.dtype == examples.labels.dtype == np.float32


@pytest.mark.parametrize('name', ['digits', 'digits_affine'])
def test_classes_are_no_regression(name):
  assert not sources.describe(name).is_regression


@pytest.mark.parametrize('name', NAMES)
def test_splits_share_no_example(name):
  rows = np.vstack([features(name, split) for split in regressions.SIZES])
  assert len(np.unique(rows, axis=0)) == len(rows)


@pytest.mark.parametrize('name', ['linear_map', 'valley/raw'])
def test_seeds_draw_other_numbers_and_zero_is_the_set_itself(name):
  first, again, other = (features(n) for n in (name, f'{name}/0', f'{name}/1'))
  np.testing.assert_array_equal(first, again)
  assert not np.isclose(first, other).any()


@pytest.mark.parametrize('name', NAMES)
def test_targets_are_linear_in_the_features(name):
  # A map that is fitted on one split is exact on another.
  def with_bias(split):
    return np.c_[features(name, split), np.ones(regressions.SIZES[split])]

  weights = np.linalg.lstsq(with_bias('train'), targets(name))[0]
  found, expected = with_bias('test') @ weights, targets(name, 'test')
  np.testing.assert_allclose(found, expected, atol=1e-4)


def test_linear_map_has_standard_features_and_a_matrix_of_its_own():
  x = features('linear_map')
  # Ten standard errors of 10,000 numbers.
  assert abs(x.mean()) < 0.1 and abs(x.std() - 1) < 0.1
  matrix = np.linalg.lstsq(x, targets('linear_map'))[0]
  assert matrix.shape == (10, linear_map.OUTPUTS)
  assert 0.7 < matrix.std() < 1.3


def test_preparations_have_the_statistics_of_their_names():
  prepared = {name: features(f'valley/{name}') for name in valley.PREPARATIONS}
  means = {name: abs(x.mean(0)).max() for name, x in prepared.items()}
  assert means['raw'] > 0.3
  assert max(means[name] for name in valley.PREPARATIONS[1:]) < 1e-5
  raw, centred = (np.cov(prepared[name].T) for name in ('raw', 'centred'))
  np.testing.assert_allclose(raw, centred, rtol=1e-4)
  assert raw.diagonal().max() > 4 * raw.diagonal().min()
  correlations = np.corrcoef(prepared['raw'].T)
  covariances = {
    name: np.cov(prepared[name].T, bias=True)
    for name in ('standardized', 'whitened')
  }
  np.testing.assert_allclose(
    covariances['standardized'], correlations, atol=1e-5
  )
  np.testing.assert_allclose(covariances['whitened'], np.eye(10), atol=1e-5)


def test_features_correlate_as_the_recipe_says():
  correlations = np.corrcoef(features('valley/raw').T)
  others = correlations[~np.eye(10, dtype=bool)]
  # The standard error of a correlation of 0.5 is 0.024.
  assert abs(others - valley.FeatureRecipe().correlation).max() < 0.12


@pytest.mark.parametrize('split', regressions.SIZES)
def test_preparations_keep_the_targets(split):
  raw = targets('valley/raw', split)
  for name in valley.PREPARATIONS:
    np.testing.assert_array_equal(targets(f'valley/{name}', split), raw)


def test_preparation_is_that_of_the_training_split():
  # Of another split, the statistics are near and not equal.
  means = features('valley/whitened', 'validation').mean(0)
  assert 1e-3 < abs(means).max() < 0.2


@pytest.mark.parametrize(
  'name', ['valley', 'valley/row', 'valley/raw/99', 'linear_map/x']
)
def test_unknown_forms_are_refused(name):
  with pytest.raises(errors.ConfigError) as error:
    sources.describe(name)
  text = str(error.value)
  assert f'unknown data set {name!r}' in text and '\n' not in text


def test_float_images_are_standardized_by_nothing():
  images = sources.load('valley/raw')['train'].images
  standardizer = data.pixel_statistics(images)
  assert standardizer.mean.tolist() == [0] * 10
  assert standardizer.std.tolist() == [1] * 10
  np.testing.assert_array_equal(standardizer.standardize(images), images)
