import functools

import jax
import numpy as np
import pytest

from normlab import errors, norms


def test_fields_reach_the_layer():
  layer = norms.build(name='batch', momentum=0.9, axis=1)()
  assert (layer.momentum, layer.axis) == (0.9, 1)


def test_arguments_of_the_call_go_before_the_fields():
  factory = norms.build(name='layer', epsilon=0.5, use_bias=False)
  layer = factory(name='norm1', epsilon=0.25)
  assert (layer.name, layer.epsilon, layer.use_bias) == ('norm1', 0.25, False)


def test_factories_of_equal_fields_are_equal_and_hash_alike():
  a = norms.build(name='batch', momentum=0.9, epsilon=1e-3)
  b = norms.build(name='batch', epsilon=1e-3, momentum=0.9)
  assert a == b
  assert hash(a) == hash(b)


@pytest.mark.parametrize(
  'fields', [{'momentum': 0.8}, {}, {'momentum': 0.9, 'axis': 1}]
)
def test_factories_of_other_fields_or_norms_differ(fields):
  factory = norms.build(name='batch', momentum=0.9)
  assert factory != norms.build(name='batch', **fields)
  assert factory != norms.build(name='batch_renorm', momentum=0.9)


def test_equal_factories_share_one_compiled_program():
  traces = []

  @functools.partial(jax.jit, static_argnums=0)
  def run(norm, x):
    traces.append(norm)
    layer = norm()
    return layer.apply(layer.init(jax.random.key(0), x), x)

  x = np.ones((2, 3), np.float32)
  for epsilon in (1e-3, 1e-3, 1e-2):
    run(norms.build(name='rms', epsilon=epsilon), x)
  assert len(traces) == 2


def test_lists_become_tuples():
  factory = norms.build(name='layer', reduction_axes=[1, 2])
  assert factory().reduction_axes == (1, 2)
  assert factory == norms.build(name='layer', reduction_axes=(1, 2))
  hash(factory)


def test_lists_in_lists_become_tuples():
  groups = [[0, 1], [2, 3]]
  factory = norms.build(
    name='batch', axis_name='devices', axis_index_groups=groups
  )
  hash(factory)
  assert factory().axis_index_groups == ((0, 1), (2, 3))


def test_an_unknown_name_lists_the_known_ones_and_the_nearest():
  with pytest.raises(errors.ConfigError) as error:
    norms.build(name='bacth')
  assert "unknown norm 'bacth'; did you mean 'batch'?" in str(error.value)
  for name in norms.NORMS:
    assert name in str(error.value)


@pytest.mark.parametrize('field', ['name', 'parent'])
def test_fields_of_flax_itself_are_not_listed(field):
  with pytest.raises(errors.ConfigError) as error:
    norms.build(name='rms', nothing=0)
  listed = str(error.value).split('known: ')[1].split(' (got')[0].split(', ')
  assert field not in listed
  assert 'epsilon' in listed


def test_everything_exported_exists_and_every_norm_is_exported():
  for name in norms.__all__:
    assert hasattr(norms, name)
  for layer in norms.NORMS.values():
    assert layer.__name__ in norms.__all__
