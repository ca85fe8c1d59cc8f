"""Every norm in programs of `jax.export`, for any batch size."""

import functools

import jax
import norms_layers as layers
import pytest
from norms_layers import COTANGENT, MASK, X, ready


def exported(function, variables, *arrays):
  """The program of function(variables, *arrays) for any batch size."""
  shape = jax.export.symbolic_shape('batch, 3, 4')
  shapes = [jax.ShapeDtypeStruct(shape, array.dtype) for array in arrays]
  return jax.export.export(jax.jit(function))(variables, *shapes)


@pytest.mark.slow
@layers.every_norm
def test_a_step_can_be_exported_for_any_batch_size(name):
  layer, variables = ready(name)
  arrays = (X, COTANGENT, MASK)
  step = functools.partial(layers.step, layer)
  program = exported(step, variables, *arrays)
  layers.assert_close(
    program.call(variables, *arrays),
    layers.compiled_step(layer, variables, *arrays),
  )


@pytest.mark.parametrize('name', layers.AVERAGING)
def test_a_batch_without_mask_may_have_any_size_too(name):
  # Statistics are then divided by a size, and not by a sum.
  layer, variables = ready(name)
  train = functools.partial(layers.train, layer)
  program = exported(train, variables, X)
  layers.assert_close(
    program.call(variables, X[:3]), jax.jit(train)(variables, X[:3])
  )


@pytest.mark.parametrize('name', ['batch', 'spectral'])
def test_an_exported_step_survives_bytes(name):
  pytest.importorskip('flatbuffers')
  layer, variables = ready(name)
  arrays = (X, COTANGENT, MASK)
  step = functools.partial(layers.step, layer)
  program = exported(step, variables, *arrays)
  loaded = jax.export.deserialize(program.serialize())
  layers.assert_close(
    loaded.call(variables, *arrays),
    layers.compiled_step(layer, variables, *arrays),
  )
