"""Mixins for axes: those that norms reduce, keep, or index examples with.

`fields.py` says why they are mixins.
"""

import dataclasses
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
    name = type(self).__name__
    return (
      canonical_axes(name, 'reduction_axes', x.ndim, self.reduction_axes),
      canonical_axes(name, 'feature_axes', x.ndim, self.feature_axes),
    )


class FeatureAxes(nn.Module):
  """The feature axes of a norm.

  Attributes:
    feature_axes: the axes that have a scale and bias of their own.
  """

  feature_axes: Axes = -1


class ExampleAxes(nn.Module):
  """How a norm of single examples tells them apart.

  Attributes:
    batch_axes: the axes along which examples lie; those that are neither these
      nor feature axes are space.
  """

  batch_axes: Axes = dataclasses.field(default=0, kw_only=True)

  def batch_and_space_axes(
    self, x: jax.Array, features: Sequence[int]
  ) -> tuple[list[int], list[int]]:
    """The non-negative axes of examples and of space.

    Raises:
      ValueError: a batch axis that `x` lacks, or that is a feature axis.
    """
    name = type(self).__name__
    batch = canonical_axes(name, 'batch_axes', x.ndim, self.batch_axes)
    if set(batch) & set(features):
      raise ValueError(
        f'{name}: batch_axes={self.batch_axes!r} must hold no feature axis; '
        f'of an input of rank {x.ndim} those are {list(features)}'
      )
    taken = {*batch, *features}
    return batch, [axis for axis in range(x.ndim) if axis not in taken]


def canonical_axes(layer: str, field: str, ndim: int, axes: Axes) -> list[int]:
  """Sorted, non-negative, distinct axes of an array of rank `ndim`.

  Raises:
    ValueError: an axis that the array does not have.
  """
  axes = list(axes) if isinstance(axes, Iterable) else [axes]
  axes = [operator.index(axis) for axis in axes]
  for axis in axes:
    if not -ndim <= axis < ndim:
      raise ValueError(
        f'{layer}: {field}={axis} is not an axis of an input of rank {ndim}; '
        f'allowed are {-ndim} to {ndim - 1}'
      )
  return sorted({axis % ndim for axis in axes})
