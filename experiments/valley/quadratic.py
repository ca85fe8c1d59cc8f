"""Gradient descent on a quadratic, in closed form.

For a loss with Hessian H of eigenvalues mu <= ... <= L, a step of rate r takes
the error e of the weights to (I - r H) e. The best fixed rate is 2 / (L + mu);
with it every error shrinks at least by (k - 1) / (k + 1) a step, where k = L /
mu is the condition number, and the errors along the steepest and the flattest
direction by exactly that (Nesterov 2004, Introductory Lectures on Convex
Optimization, section 1.2.3; Boyd and Vandenberghe 2004, section 9.3).
"""

import math
from typing import NamedTuple

import numpy as np

# The loss is to fall to this share of what it starts above its minimum.
SHARE = 0.01


class Curvature(NamedTuple):
  """The smallest and largest eigenvalue of a Hessian."""

  smallest: float
  largest: float

  @property
  def condition_number(self) -> float:
    """L / mu, at least 1."""
    return self.largest / self.smallest

  @property
  def best_rate(self) -> float:
    """2 / (L + mu)."""
    return 2 / (self.largest + self.smallest)


def hessian(features: np.ndarray) -> np.ndarray:
  """That of the mean squared error of a linear model with a bias.

  Args:
    features: [examples, features].

  Returns:
    [features + 1, features + 1], the bias last.
  """
  x = np.c_[features, np.ones(len(features))]
  return 2 * x.T @ x / len(x)


def curvature(matrix: np.ndarray) -> Curvature:
  """Of a Hessian, positive definite."""
  values = np.linalg.eigvalsh(matrix)
  return Curvature(float(values[0]), float(values[-1]))


def most_steps(condition_number: float, share: float = SHARE) -> float:
  """Steps after which the loss has fallen to a share, from wherever.

  ((k - 1) / (k + 1))^(2 t) = share; about ln(1 / share) k / 4 for large k.

  Args:
    condition_number: k, above 1; at 1 a single step is enough.
    share: of what the loss starts above its minimum.
  """
  shrinkage = (condition_number - 1) / (condition_number + 1)
  if shrinkage <= math.sqrt(share):
    return 1.0
  return math.log(share) / (2 * math.log(shrinkage))


def worst_error(matrix: np.ndarray) -> np.ndarray:
  """An error of which half the loss is steepest and half is flattest.

  No start takes longer. Its loss, e H e / 2, is 1.
  """
  values, vectors = np.linalg.eigh(matrix)
  ends = [0, -1]
  return (vectors[:, ends] / np.sqrt(values[ends])).sum(1)


def path(
  matrix: np.ndarray, error: np.ndarray, share: float = SHARE
) -> np.ndarray:
  """The errors of gradient descent at the best rate.

  Args:
    matrix: the Hessian [weights, weights].
    error: of the first weights.
    share: the last point is the first at which the loss is at most this share
      of that at the start.

  Returns:
    [steps + 1, weights].
  """
  rate, found = curvature(matrix).best_rate, [error]
  while loss(matrix, found[-1]) > share * loss(matrix, error):
    found.append(found[-1] - rate * matrix @ found[-1])
  return np.array(found)


def loss(matrix: np.ndarray, error: np.ndarray) -> float:
  """What the loss is above its minimum: e H e / 2."""
  return float(error @ matrix @ error) / 2
