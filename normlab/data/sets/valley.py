"""One linear regression, its features raw or prepared in three ways.

Features have other scales and means, and correlate: the loss of a linear model
is a narrow valley. Centring, standardizing and whitening them (with the
statistics of the training split) widens it to a bowl. The targets are the same
in all four forms and linear in each, so that a linear model with a bias reaches
a loss of zero.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from normlab.data.sets import regressions

OUTPUTS = 1
PREPARATIONS = ('raw', 'centred', 'standardized', 'whitened')
# Further draws, also of the scales and means: 'valley/raw/1'. The last three
# are for tuning.
SEEDS = (*range(10), 103, 104, 105)


class FeatureRecipe(NamedTuple):
  """How features are drawn.

  Attributes:
    scales: smallest and largest standard deviation, drawn log-uniformly.
    offset: standard deviation of a feature's mean, in its own deviations.
    correlation: of every two features.
  """

  scales: tuple[float, float] = (0.3, 3.0)
  offset: float = 1.0
  correlation: float = 0.5


def splits(
  preparation: str,
  seed: int = 0,
  recipe: FeatureRecipe = FeatureRecipe(),  # noqa: B008
) -> regressions.Splits:
  """Features and targets of each split.

  Args:
    preparation: of `PREPARATIONS`.
    seed: of all that is drawn; preparations of the same seed are of the same
      examples.
    recipe: the ranges.

  Returns:
    Split to float32 [examples, 1, 1, 10] and float32 [examples, 1].
  """
  features, targets = drawn(np.random.default_rng(seed), recipe)
  prepare = preparation_of(preparation, features['train'])
  return {
    split: regressions.split_of(prepare(features[split]), targets[split])
    for split in features
  }


def drawn(
  generator: np.random.Generator, recipe: FeatureRecipe
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
  """Raw features [examples, 10] and targets [examples, 1] of each split.

  z ~ N(0, C), x = scale * z + mean, y = w z with w ~ N(0, I): each feature
  matters as much as the others, whatever its scale.
  """
  count = regressions.FEATURES
  scale = np.exp(generator.uniform(*np.log(recipe.scales), count))
  mean = scale * generator.normal(0, recipe.offset, count)
  weights = generator.normal(size=(count, OUTPUTS))
  correlation = np.full((count, count), recipe.correlation)
  np.fill_diagonal(correlation, 1)
  root = np.linalg.cholesky(correlation)
  latent = {
    split: z @ root.T
    for split, z in regressions.normal_splits(generator).items()
  }
  features = {split: scale * z + mean for split, z in latent.items()}
  return features, {split: z @ weights for split, z in latent.items()}


def preparation_of(
  name: str, training: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
  """The function of features [examples, 10] that prepares them.

  Args:
    name: of `PREPARATIONS`.
    training: the raw features whose statistics it uses.
  """
  mean, covariance = training.mean(0), np.cov(training.T, bias=True)
  values, vectors = np.linalg.eigh(covariance)
  factor = {
    'raw': np.eye(len(mean)),
    'centred': np.eye(len(mean)),
    'standardized': np.diag(np.diag(covariance) ** -0.5),
    # The symmetric root of the inverse: the nearest to the features.
    'whitened': vectors / np.sqrt(values) @ vectors.T,
  }[name]
  shift = 0 if name == 'raw' else mean
  return lambda features: (features - shift) @ factor
