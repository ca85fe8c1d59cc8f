"""Relations that ask the data set and the model: sizes and shapes."""

import functools

from normlab import errors
from normlab.validation.facts import Facts
from normlab.validation.relation import Relation

DATA = ('data.name', 'data.data_dir')
SHAPES = (*DATA, 'data.image_size', 'model', 'norm')


def only_if_streamed(facts: Facts, *, field: str) -> str | None:
  """A field of how images are read is for sets that are read while training."""
  if facts.config.data[field] is None or facts.is_streamed:
    return None
  return f'data set {facts.config.data.name!r} is not streamed; must be None'


def data_set_is_there(facts: Facts) -> None:
  """The data set can be read."""
  _ = facts.described


def is_part_of_the_data(facts: Facts, *, field: str) -> str | None:
  """A batch, or what is recalibrated on, has each example once."""
  examples = facts.described.sizes['train']
  unused = (
    field == 'recalibration_examples'
    and 'recalibrated' not in facts.config.eval_statistics
  )
  if unused or facts.config[field] <= examples:
    return None
  return (
    f'the training split of {facts.config.data.name!r} has {examples:,} '
    f'examples; must be from 1 to {examples}'
  )


def is_for_images(facts: Facts, *, field: str) -> str | None:
  """Features of a regression have no place in space."""
  if not facts.config.data[field] or not facts.described.is_regression:
    return None
  off = {'random_crop': 0, 'random_flip': False}[field]
  return f'{facts.config.data.name!r} has no images; must be {off}'


def is_for_classes(facts: Facts) -> str | None:
  """A target that is spread over classes has some."""
  smoothing = facts.config.label_smoothing
  if smoothing is None or not facts.described.is_regression:
    return None
  return f'{facts.config.data.name!r} is a regression; must be None'


def crop_is_of_memory(facts: Facts) -> str | None:
  """Streamed images have a random crop of their own."""
  if not facts.config.data.random_crop or not facts.is_streamed:
    return None
  return (
    f'data set {facts.config.data.name!r} is streamed, see '
    'config.data.min_crop_area; must be 0'
  )


def crop_is_part_of_the_image(facts: Facts) -> str | None:
  """Images are shifted by less than their size."""
  size = min(facts.described.image_shape[:2])
  if facts.config.data.random_crop <= size or facts.is_streamed:
    return None
  return (
    f'the images of {facts.config.data.name!r} are {size} pixels wide; must be '
    f'from 0 to {size}'
  )


def model_takes_images(facts: Facts) -> None:
  """The model with its norm takes a batch; of shapes, nothing is computed."""
  try:
    _ = facts.variables
  except Exception as error:  # Flax, JAX and the layers each raise their own.
    config = facts.config
    raise errors.ConfigError(
      f'config.model.name={config.model.name!r} with config.norm.name='
      f'{config.norm.name!r}: {errors.summary(error)}'
    ) from error


def statistics_are_kept(facts: Facts) -> str | None:
  """Statistics of other examples replace running ones, which must be there."""
  only_running = {*facts.config.eval_statistics} == {'running'}
  if only_running or facts.has_running_statistics:
    return None
  name = facts.config.norm.name
  return f"norm {name!r} keeps no running statistics; must be ('running',)"


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
  *(
    Relation(
      (field, *others, *DATA),
      functools.partial(is_part_of_the_data, field=field),
    )
    for field, *others in (
      ('batch_size',),
      ('recalibration_examples', 'eval_statistics'),
    )
  ),
  *(
    Relation(
      (f'data.{field}', *DATA), functools.partial(is_for_images, field=field)
    )
    for field in ('random_crop', 'random_flip')
  ),
  Relation(('label_smoothing', *DATA), is_for_classes),
  Relation(('data.random_crop', *DATA), crop_is_part_of_the_image),
  Relation(('model.name', *SHAPES), model_takes_images),
  Relation(('eval_statistics', *SHAPES), statistics_are_kept),
)
