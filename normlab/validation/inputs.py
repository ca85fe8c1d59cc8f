"""Relations that ask the data set and the model: sizes and shapes."""

import functools

from normlab import errors
from normlab.validation import rules
from normlab.validation.facts import Facts
from normlab.validation.relation import Relation

DATA = ('data.name', 'data.data_dir')
SHAPES = (*DATA, 'data.image_size', 'model', 'norm')
# Statistics that a norm must have running ones for.
STATEFUL = ('batch', 'recalibrated')


def only_if_streamed(facts: Facts, *, field: str) -> str | None:
  """A field of how images are read is for sets that are read while training."""
  value = facts.config.data[field]
  if value is None or facts.is_streamed:
    return None
  name = facts.config.data.name
  return rules.refused(
    f'data.{field}', value, 'None', f'data set {name!r} is not streamed'
  )


def data_set_is_there(facts: Facts) -> None:
  """The data set can be read."""
  _ = facts.described


def batch_is_part_of_the_data(facts: Facts) -> str | None:
  """A batch has each example once."""
  return of_training_split(facts, 'batch_size')


def recalibration_is_part_of_the_data(facts: Facts) -> str | None:
  """Statistics are recalibrated on each example once, if at all."""
  if 'recalibrated' not in facts.config.eval_statistics:
    return None
  return of_training_split(facts, 'recalibration_examples')


def of_training_split(facts: Facts, field: str) -> str | None:
  """A number of training examples is not larger than their split."""
  number, examples = facts.config[field], facts.described.sizes['train']
  if number <= examples:
    return None
  return rules.refused(
    field,
    number,
    f'from 1 to {examples}',
    f'the training split of {facts.config.data.name!r} has {examples:,} '
    'examples',
  )


def crop_is_of_memory(facts: Facts) -> str | None:
  """Streamed images have a random crop of their own."""
  pixels, name = facts.config.data.random_crop, facts.config.data.name
  if not pixels or not facts.is_streamed:
    return None
  return rules.refused(
    'data.random_crop',
    pixels,
    '0',
    f'data set {name!r} is streamed, see config.data.min_crop_area',
  )


def crop_is_part_of_the_image(facts: Facts) -> str | None:
  """Images are shifted by less than their size."""
  pixels = facts.config.data.random_crop
  size = min(facts.described.image_shape[:2])
  if pixels <= size or facts.is_streamed:
    return None
  return rules.refused(
    'data.random_crop',
    pixels,
    f'from 0 to {size}',
    f'the images of {facts.config.data.name!r} are {size} pixels wide',
  )


def model_takes_images(facts: Facts) -> str | None:
  """The model with its norm takes a batch; of shapes, nothing is computed."""
  try:
    _ = facts.variables
  except Exception as error:  # Flax, JAX and the layers each raise their own.
    config = facts.config
    return (
      f'config.model.name={config.model.name!r} with config.norm.name='
      f'{config.norm.name!r}: {errors.summary(error)}'
    )
  return None


def statistics_are_kept(facts: Facts) -> str | None:
  """Statistics of other examples replace running ones, which must be there."""
  statistics = facts.config.eval_statistics
  if not {*statistics} & {*STATEFUL} or facts.has_running_statistics:
    return None
  return rules.refused(
    'eval_statistics',
    statistics,
    "('running',)",
    f'norm {facts.config.norm.name!r} keeps no running statistics',
  )


RELATIONS: tuple[Relation, ...] = (
  *(
    Relation(
      (f'data.{field}', 'data.name'),
      functools.partial(only_if_streamed, field=field),
    )
    for field in ('image_size', 'min_crop_area', 'workers')
  ),
  Relation(('data.random_crop', 'data.name'), crop_is_of_memory),
  Relation(('data.data_dir', 'data.name'), data_set_is_there),
  Relation(('batch_size', *DATA), batch_is_part_of_the_data),
  Relation(
    ('recalibration_examples', 'eval_statistics', *DATA),
    recalibration_is_part_of_the_data,
  ),
  Relation(('data.random_crop', *DATA), crop_is_part_of_the_image),
  Relation(('model.name', *SHAPES), model_takes_images),
  Relation(('eval_statistics', *SHAPES), statistics_are_kept),
)
