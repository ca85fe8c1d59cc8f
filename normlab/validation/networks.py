"""Networks of own code: whether they use norms as ours do.

Also notes, of what is allowed and seldom meant.
"""

import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name

from normlab import errors, own_code
from normlab.norms.core import calls
from normlab.norms.core.running import Averaging
from normlab.validation.facts import Facts, variables_of
from normlab.validation.inputs import SHAPES
from normlab.validation.relation import Relation

MARK = 'normlab_norm'
# How the activations of jax.nn appear in a traced program.
ACTIVATIONS = {
  *('relu', 'relu6', 'leaky_relu', 'elu', 'selu', 'celu', 'gelu', 'max'),
  *('silu', 'hard_silu', 'mish', 'softplus', 'squareplus', 'soft_sign'),
  *('sigmoid', 'logistic', 'log_sigmoid', 'tanh', 'hard_tanh'),
}


class Call(NamedTuple):
  """A call of a norm by a network.

  Attributes:
    path: of the norm, as 'layer1/norm'.
    shape: of the input.
    has_mode: whether it was told `use_running_average`.
  """

  path: str
  shape: tuple[int, ...]
  has_mode: bool


# The runs of a sweep mostly share it, as in `facts.variables_of`.
@functools.lru_cache(maxsize=64)
def traced(
  model: nn.Module, images: jax.ShapeDtypeStruct
) -> tuple[Any, list[Call]]:
  """A network as a program in training mode, its norms marked; and their calls.

  A norm within a norm is a part of it.
  """
  factory = getattr(model, 'norm', None)
  layer = getattr(factory, 'layer', ())
  seen: list[Call] = []
  depth = 0

  def watch(module: nn.Module, call: Any, *args: Any, **kwargs: Any) -> Any:
    nonlocal depth
    if depth or not isinstance(module, layer):
      return call(*args, **kwargs)
    has_mode = len(args) > 1 or 'use_running_average' in kwargs
    seen.append(Call('/'.join(module.path), args[0].shape, has_mode))
    depth += 1
    try:
      return checkpoint_name(call(*args, **kwargs), MARK)
    finally:
      depth -= 1

  def train(variables: Any, images: jax.Array, key: jax.Array) -> Any:
    with calls.replaced(watch):
      return model.apply(
        variables,
        images,
        train=True,
        mutable=True,
        rngs={'dropout': key, 'noise': key},
      )

  key = jax.eval_shape(lambda: jax.random.key(0))
  variables = variables_of(model, images)
  return jax.make_jaxpr(train)(variables, images, key), seen


@functools.lru_cache(maxsize=64)
def logits_of(
  model: nn.Module, images: jax.ShapeDtypeStruct
) -> tuple[int, ...]:
  """The shape of what a network makes of images in evaluation."""
  return jax.eval_shape(
    lambda v, x: model.apply(v, x, train=False),
    variables_of(model, images),
    images,
  ).shape


def norms_are_told_the_mode(facts: Facts) -> str | None:
  """A network calls its norms so that any other norm can stand there.

  GroupNorm does not need to know the mode, and a sweep reaches BatchNorm.
  """
  config = facts.config
  if not is_own(config) or getattr(facts.model, 'norm', None) is None:
    return None
  found = traced(facts.model, facts.images)[1]
  if not found and config.norm.name != 'none':
    return (
      f'it never calls its norm, {config.norm.name!r}; call '
      "norm(name='norm1')(x, use_running_average=not train), or set "
      "config.norm.name='none'"
    )
  for call in found:
    if not call.has_mode:
      return (
        f'its norm {call.path!r} is called without use_running_average; call '
        "norm(name='norm1')(x, use_running_average=not train)"
      )
  return None


def logits_are_of_the_classes(facts: Facts) -> str | None:
  """Own code makes logits [batch, classes], in training and in evaluation."""
  if not is_own(facts.config):
    return None
  images, number = facts.images, facts.description.num_classes
  shape = (images.shape[0], number)
  try:
    found = logits_of(facts.model, images)
  except Exception as error:
    return f'it fails with train=False: {errors.summary(error)}'
  if found == shape:
    return None
  return f'its logits are {found} for {shape[0]} images; must be {shape}'


def is_own(config: Any) -> bool:
  """Whether the model is own code."""
  return own_code.is_import_path(config.model.name)


def notes(facts: Facts) -> Iterator[str]:
  """What is allowed, and seldom meant: one line each."""
  config, model = facts.config, facts.model
  factory = getattr(model, 'norm', None)
  if factory is None:
    return
  name = config.norm.name
  if is_own(config) and factory.replaces_activation:
    program, found = traced(model, facts.images)
    if count := activated(program.jaxpr):
      yield (
        f'model {config.model.name!r} applies an activation behind {count} of '
        f'its {len(found)} norms, and norm {name!r} is one itself; '
        'normlab.models.blocks.norm_act applies norm and activation as one'
      )
  part = (
    config.norm.ghost_batch_size or config.batch_size // config.microbatches
  )
  if part == 1 and issubclass(factory.layer, Averaging):
    # Of a batch as the check makes it; an example has a share of the values.
    alone = [
      call.path
      for call in traced(model, facts.images)[1]
      if math.prod(call.shape[:-1]) == call.shape[0]
    ]
    if alone:
      yield (
        f'norm {name!r} has nothing to average over at {alone[0]!r}: a batch '
        'of one example, and no space; what it normalizes is zero'
      )


def activated(program: Any) -> int:
  """The number of norms in a traced program with an activation behind."""
  marked, count = set(), 0
  for equation in program.eqns:
    # A literal is no variable, and cannot be looked up.
    inputs = {v for v in equation.invars if not hasattr(v, 'val')} & marked
    names = names_of(equation)
    if MARK in names or (inputs and 'convert_element_type' in names):
      marked |= {*equation.outvars}
    elif inputs and names & ACTIVATIONS:
      count += 1
    else:
      count += sum(map(activated, inner_programs(equation)))
  return count


def names_of(equation: Any) -> set[str]:
  """What an equation is called, and what is within a custom derivative."""
  found = {equation.primitive.name, str(equation.params.get('name'))}
  if equation.primitive.name.startswith('custom_'):
    for inner in inner_programs(equation):
      found |= {name for part in inner.eqns for name in names_of(part)}
  return found


def inner_programs(equation: Any) -> list[Any]:
  """The programs that an equation calls."""
  found = (getattr(p, 'jaxpr', p) for p in equation.params.values())
  return [program for program in found if hasattr(program, 'eqns')]


RELATIONS: tuple[Relation, ...] = (
  Relation(('model.name', *SHAPES), logits_are_of_the_classes),
  Relation(('model.name', *SHAPES), norms_are_told_the_mode),
)
