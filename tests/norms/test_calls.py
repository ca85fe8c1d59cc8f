"""Calls of modules, replaced while a model runs."""

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from normlab.norms.core import calls


class Doubled(nn.Module):
  """y = 2 x."""

  def __call__(self, x):
    return self.factor() * x

  def factor(self):
    return 2


class Shifted(Doubled):
  """y = 2 x + shift, by its base."""

  shift: float = 1.0

  def __call__(self, x):
    return super().__call__(x) + self.shift


class Chain(nn.Module):
  """One layer after the other; the first is called again at the end."""

  @nn.compact
  def __call__(self, x):
    first = Shifted(name='first')
    return first(Doubled(name='second')(first(x)))


def test_each_call_comes_once_in_order_and_bases_are_part_of_it():
  seen = []

  def note(module, call, *args, **kwargs):
    seen.append('/'.join(module.path))
    return call(*args, **kwargs)

  with calls.replaced(note):
    y = Chain().apply({}, 1.0)
  assert seen == ['', 'first', 'second', 'first']
  assert y == Chain().apply({}, 1.0) == 13


def test_the_result_is_that_of_the_replacement():
  def replacement(module, call, x):
    return x + 10 if type(module) is Doubled else call(x)

  with calls.replaced(replacement):
    assert Chain().apply({}, 1.0) == 2 * (3 + 10) + 1
  assert Chain().apply({}, 1.0) == 13


def test_a_call_that_fails_is_over():
  def failing(module, call, *args):
    raise ValueError

  layer, seen = Shifted(), []
  with calls.replaced(lambda module, call, x: seen.append(module) or call(x)):
    for _ in range(2):
      with pytest.raises(TypeError):
        layer.apply({}, None)
  assert len(seen) == 2
  with calls.replaced(failing), pytest.raises(ValueError):
    layer.apply({}, jnp.ones(()))
  assert jax.jit(lambda x: layer.apply({}, x))(1.0) == 3
