"""Networks of own code, with and without mistakes, for `test_networks`."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn

from normlab.models import blocks


class Network(nn.Module):
  """What each has."""

  num_classes: int
  norm: Any = None
  activation: Callable[..., Any] = nn.relu

  def normed(self, x, train):
    return self.norm(name='norm')(x, use_running_average=not train)

  def dense(self, x):
    return nn.Dense(8, name='dense')(x.reshape(len(x), -1))

  def logits(self, x):
    return nn.Dense(self.num_classes, name='logits')(x)


class Helped(Network):
  @nn.compact
  def __call__(self, x, *, train):
    norm, x = self.norm, self.dense(x)
    return self.logits(blocks.norm_act(norm, self.activation, x, train=train))


class Twice(Network):
  @nn.compact
  def __call__(self, x, *, train):
    return self.logits(self.activation(self.normed(self.dense(x), train)))


class TwiceInside(Network):
  @nn.compact
  def __call__(self, x, *, train):
    return self.logits(nn.silu(self.normed(self.dense(x), train)))


class WithoutMode(Network):
  @nn.compact
  def __call__(self, x, *, train):
    return self.logits(nn.relu(self.norm(name='norm')(self.dense(x))))


class WithoutNorm(Network):
  @nn.compact
  def __call__(self, x, *, train):
    return self.logits(nn.relu(self.dense(x)))


class WrongLogits(Network):
  @nn.compact
  def __call__(self, x, *, train):
    return self.normed(self.dense(x), train)


class WithoutTrain(Network):
  @nn.compact
  def __call__(self, x):
    return self.logits(x.reshape(len(x), -1))


class Plain(nn.Module):
  @nn.compact
  def __call__(self, x, *, train):
    return nn.Dense(10)(x.reshape(len(x), -1))


def made(num_classes, norm=None):
  return Helped(num_classes=num_classes, norm=norm)


def made_of_nothing(num_classes):
  return num_classes
