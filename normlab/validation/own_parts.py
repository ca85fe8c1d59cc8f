"""Relations of own code beside the network: they have the form that is needed.

Of shapes: nothing is computed but three factors of a schedule.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from normlab import errors, own_code
from normlab.program import metrics, optim, programs
from normlab.validation.facts import Facts
from normlab.validation.inputs import DATA, SHAPES
from normlab.validation.relation import Relation


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


RELATIONS: tuple[Relation, ...] = (
  Relation(('metrics', *DATA, 'data.image_size'), metrics_are_per_example),
  Relation(
    ('data.augmentation', *DATA, 'data.image_size'),
    augmentation_keeps_the_form,
  ),
  Relation(('optimizer.name', 'optimizer', *SHAPES), optimizer_takes_a_step),
  Relation(
    ('schedule.name', 'schedule', 'total_steps'), schedule_gives_factors
  ),
)
