"""Axes that norms reduce and keep: mixins, for the reason in `fields.py`."""

import operator
from collections.abc import Iterable, Sequence

import jax
from flax import linen as nn

Axes = int | Sequence[int]


class ReductionAxes(nn.Module):
  """The axes of a norm that may reduce any of them.

  Attributes:
    reduction_axes: the axes that share a mean and variance.
    feature_axes: the axes that have a scale and bias of their own.
  """

  reduction_axes: Axes = -1
  feature_axes: Axes = -1

  def reduction_and_feature_axes(
    self, x: jax.Array
  ) -> tuple[list[int], list[int]]:
    """Both fields as non-negative axes of `x`."""
    return (
      canonical_axes(self, 'reduction_axes', x.ndim),
      canonical_axes(self, 'feature_axes', x.ndim),
    )


class FeatureAxes(nn.Module):
  """The feature axes of a norm.

  Attributes:
    feature_axes: the axes that have a scale and bias of their own.
  """

  feature_axes: Axes = -1


def canonical_axes(layer: nn.Module, field: str, ndim: int) -> list[int]:
  """A field of axes: sorted, non-negative, distinct axes of rank `ndim`.

  Raises:
    ValueError: an axis that such an array does not have.
  """
  axes = getattr(layer, field)
  axes = list(axes) if isinstance(axes, Iterable) else [axes]
  axes = [operator.index(axis) for axis in axes]
  for axis in axes:
    if not -ndim <= axis < ndim:
      raise ValueError(
        f'{type(layer).__name__}: {field}={axis} is not an axis of an input of '
        f'rank {ndim}; allowed are {-ndim} to {ndim - 1}'
      )
  return sorted({axis % ndim for axis in axes})


def space_axes(
  layer: nn.Module, field: str, ndim: int
) -> tuple[list[int], list[int]]:
  """The feature axes in `field`, and those of space: no others but the first.

  Raises:
    ValueError: an axis that is not there, or the first: that of the examples.
  """
  features = canonical_axes(layer, field, ndim)
  if 0 in features:
    raise ValueError(
      f'{type(layer).__name__}: {field}={getattr(layer, field)!r} must not '
      'include the first axis, the batch'
    )
  return features, [axis for axis in range(1, ndim) if axis not in features]
