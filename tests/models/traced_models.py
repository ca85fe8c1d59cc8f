"""What models do, seen in one trace of each: nothing is computed."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util

from normlab import models, norms
from normlab.norms.core import calls

# Small enough to run, and divisible by what the norms divide by.
SMALL = {
  'mlp': {'widths': (8, 4)},
  'cnn': {'widths': (8, 4)},
  'inception': {'width': 1 / 16},
  'resnet18': {'width': 1 / 16, 'small_images': True},
  'resnet50': {'width': 1 / 16},
  'bn_inception': {'width': 1 / 16},
}
FIELDS = {'group': {'num_groups': 1}, 'evonorm_s0': {'num_groups': 1}}
# Every norm stands in the same blocks: all of them in two models, and in the
# deep ones, whose traces take long, one of each kind.
ALL = (None, *norms.NORMS)
FEW = (None, 'batch', 'filter_response', 'weight')
PAIRS = [
  (name, norm)
  for name in models.MODELS
  for norm in (ALL if name in ('mlp', 'cnn') else FEW)
]


def build(name, **fields):
  return models.build(name=name, num_classes=10, **fields)


def norm_factory(name):
  return norms.build(name=name, **FIELDS.get(name, {}))


@dataclasses.dataclass(frozen=True)
class Trace:
  """One call of `init_with_output`, by eval_shape.

  Attributes:
    logits: shape and dtype.
    variables: those of all variables, by collection and path.
    modules: the modules that were called, by path.
    outputs: what they returned: shape and dtype, by path.
  """

  logits: Any
  variables: dict[str, dict[str, Any]]
  modules: dict[str, nn.Module]
  outputs: dict[str, Any]

  @property
  def params(self):
    """Shapes of the parameters, by path."""
    return {k: v.shape for k, v in self.variables['params'].items()}

  @property
  def num_params(self):
    return sum(map(math.prod, self.params.values()))

  @property
  def classes(self):
    return {path: type(module) for path, module in self.modules.items()}


def trace(model, image_shape=(8, 8, 1), train=False):
  modules, outputs = {}, {}

  def record(module, call, *args, **kwargs):
    result = call(*args, **kwargs)
    path = '/'.join(module.path)
    # Unbound: a module of a trace that is over cannot be read.
    modules[path] = module.clone(parent=None)
    outputs[path] = jax.ShapeDtypeStruct(result.shape, result.dtype)
    return result

  images = jax.ShapeDtypeStruct((2, *image_shape), jnp.float32)
  init = functools.partial(model.init_with_output, train=train)
  with calls.replaced(record):
    logits, variables = jax.eval_shape(init, jax.random.key(0), images)
  variables = {
    collection: traverse_util.flatten_dict(tree, sep='/')
    for collection, tree in variables.items()
  }
  return Trace(logits, variables, modules, outputs)


@functools.cache
def traced(name, norm):
  """The trace of a small model in bfloat16, with a norm by name or None."""
  hooks = {} if norm is None else norm_factory(norm)
  return trace(build(name, dtype='bfloat16', **hooks, **SMALL[name]))
