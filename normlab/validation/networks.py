"""Networks of own code: whether they use norms as ours do.

Also notes, of what is allowed and seldom meant.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name

from normlab import errors, own_code
from normlab.norms.core import calls
from normlab.norms.core.running import Averaging
from normlab.program import metrics, optim, programs
from normlab.validation.facts import Facts
from normlab.validation.inputs import DATA, SHAPES
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


def traced(facts: Facts) -> tuple[Any, list[Call]]:
  """A network as a program in training mode, its norms marked; and their calls.

  A norm within a norm is a part of it.
  """
  factory = getattr(facts.model, 'norm', None)
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
      return facts.model.apply(
        variables,
        images,
        train=True,
        mutable=True,
        rngs={'dropout': key, 'noise': key},
      )

  key = jax.eval_shape(lambda: jax.random.key(0))
  return jax.make_jaxpr(train)(facts.variables, facts.images, key), seen


def norms_are_told_the_mode(facts: Facts) -> str | None:
  """A network calls its norms so that any other norm can stand there.

  GroupNorm does not need to know the mode, and a sweep reaches BatchNorm.
  """
  config = facts.config
  if not is_own(config) or getattr(facts.model, 'norm', None) is None:
    return None
  found = traced(facts)[1]
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
    logits = jax.eval_shape(
      lambda v, x: facts.model.apply(v, x, train=False), facts.variables, images
    )
    found = logits.shape
  except Exception as error:
    return f'it fails with train=False: {errors.summary(error)}'
  if found == shape:
    return None
  return f'its logits are {found} for {shape[0]} images; must be {shape}'


def optimizer_takes_a_step(facts: Facts) -> str | None:
  """An optimizer of own code works on these parameters; of shapes."""
  if not own_code.is_import_path(facts.config.optimizer.name):
    return None
  hyper = programs.hyperparameters(facts.config)
  program = programs.build(facts.config, facts.description.num_classes)

  def step(params: Any, hyper: programs.Hyper) -> Any:
    optimizer = program.build_optimizer(hyper)
    return optimizer.update(params, optimizer.init(params), params)[0]

  params = facts.variables['params']
  try:
    updates = jax.eval_shape(step, params, hyper)
  except Exception as error:
    return f'it fails: {errors.summary(error)}'
  same = jax.tree.structure(updates) == jax.tree.structure(params)
  return None if same else 'its updates are not of the form of the parameters'


def schedule_gives_factors(facts: Facts) -> str | None:
  """A schedule of own code gives a finite factor for each of some steps."""
  config = facts.config
  if not own_code.is_import_path(config.schedule.name):
    return None
  steps = np.array([0, config.total_steps // 2, config.total_steps - 1])
  try:
    schedule = optim.build_schedule(
      name=config.schedule.name,
      total_steps=config.total_steps,
      **programs.all_fields(config.schedule),
    )
    factors = np.broadcast_to(np.asarray(schedule(steps), np.float32), (3,))
  except Exception as error:
    return f'it fails on an array of steps: {errors.summary(error)}'
  if np.isfinite(factors).all() and (factors >= 0).all():
    return None
  return (
    f'its factors of the steps {steps.tolist()} are {factors.tolist()}; must '
    'be finite, and at least 0'
  )


def metrics_are_per_example(facts: Facts) -> None:
  """Each metric of own code has a number for each example."""
  data, batch = facts.description, 2
  outputs = jax.ShapeDtypeStruct((batch, data.num_classes), jnp.float32)
  labels = jax.ShapeDtypeStruct((batch,), jnp.int32)
  if data.is_regression:
    labels = outputs
  for name, function in metrics.find_metrics(facts.config.metrics or ()):
    what = f'config.metrics: {name!r}'
    try:
      found = jax.eval_shape(function, outputs, labels)
    except Exception as error:
      raise errors.ConfigError(
        f'{what} fails: {errors.summary(error)}'
      ) from error
    if getattr(found, 'shape', None) != (batch,):
      raise errors.ConfigError(
        f'{what} makes {errors.shown(found)} of {batch} examples; must have a '
        f'number for each, shape {(batch,)}'
      )


def augmentation_keeps_the_form(facts: Facts) -> str | None:
  """An augmentation of own code returns images of the same shape and type."""
  if facts.config.data.augmentation is None:
    return None
  augment = programs.build_augmentation(facts.config)
  kind = jnp.float32 if facts.description.is_regression else jnp.uint8
  images = jax.ShapeDtypeStruct((2, *facts.description.image_shape), kind)
  try:
    found = jax.eval_shape(augment.own, jax.random.key(0), images)
  except Exception as error:
    return f'it fails: {errors.summary(error)}'
  shape, dtype = getattr(found, 'shape', None), getattr(found, 'dtype', None)
  if (shape, dtype) == (images.shape, images.dtype):
    return None
  return (
    f'it makes {dtype} {shape} of {images.dtype} {images.shape}; must be the '
    'same'
  )


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
    program, found = traced(facts)
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
      for call in traced(facts)[1]
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
  Relation(('metrics', *DATA, 'data.image_size'), metrics_are_per_example),
  Relation(
    ('data.augmentation', *DATA, 'data.image_size'),
    augmentation_keeps_the_form,
  ),
  Relation(('model.name', *SHAPES), logits_are_of_the_classes),
  Relation(('model.name', *SHAPES), norms_are_told_the_mode),
  Relation(('optimizer.name', 'optimizer', *SHAPES), optimizer_takes_a_step),
  Relation(
    ('schedule.name', 'schedule', 'total_steps'), schedule_gives_factors
  ),
)
