"""Facts that follow from a config: its data set, its shapes; when asked."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
from flax import linen as nn

from normlab import data, errors
from normlab.norms.trained.recalibration import has_running_statistics
from normlab.program import programs


class Facts:
  """A config, and what is only known by asking the parts that it names.

  Whoever asks makes sure that the fields behind a fact are right.
  """

  def __init__(self, config: ml_collections.ConfigDict):
    """Asks nothing yet."""
    self.config = config

  def value(self, path: str) -> Any:
    """The value of a field or section by its path."""
    return functools.reduce(getattr, path.split('.'), self.config)

  @property
  def is_streamed(self) -> bool:
    """Whether the data set is read from disk while training; of its name."""
    return data.is_streamed(self.config.data.name)

  @functools.cached_property
  def described(self) -> data.Description:
    """The data set, whatever the size of its images is asked to be.

    Raises:
      errors.ConfigError: an unknown name, not prepared, or damaged.
    """
    return self._describe(image_size=None)

  @functools.cached_property
  def description(self) -> data.Description:
    """The data set, with images of the size that the config asks for."""
    return self._describe(image_size=self.config.data.image_size)

  def _describe(self, *, image_size: int | None) -> data.Description:
    name, folder = self.config.data.name, self.config.data.data_dir
    try:
      return data.describe(name, folder, image_size=image_size)
    except errors.ConfigError:
      raise
    except (OSError, ValueError, RuntimeError) as error:
      raise errors.ConfigError(
        f'data set {name!r} cannot be read from data_dir '
        f'{errors.shown(folder)}: {errors.one_line(str(error))}'
      ) from error

  @functools.cached_property
  def model(self) -> nn.Module:
    """The model with its norm."""
    return programs.build_model(self.config, self.description.num_classes)

  @property
  def images(self) -> jax.ShapeDtypeStruct:
    """Some images, as the model is given them.

    Their number is not that of a batch: a batch that is wrong must not hide
    what is wrong with the model. A ghost batch is the least that a norm takes.
    """
    number = self.config.norm.ghost_batch_size or 2
    shape = (number, *self.description.image_shape)
    return jax.ShapeDtypeStruct(shape, jnp.float32)

  @property
  def variables(self) -> Any:
    """The shapes of the model's parameters and state."""
    return variables_of(self.model, self.images)

  @property
  def has_running_statistics(self) -> bool:
    """Whether a norm of the model keeps statistics of the batches."""
    return has_running_statistics(self.model, self.variables, self.images)


# The runs of a sweep mostly share it, and it takes 0.1 s for a small network.
@functools.lru_cache(maxsize=64)
def variables_of(model: nn.Module, images: jax.ShapeDtypeStruct) -> Any:
  """The shapes of a model's variables; nothing is computed or compiled."""

  def init(key: jax.Array, images: jax.Array) -> Any:
    return model.init({'params': key, 'dropout': key}, images, train=True)

  return jax.eval_shape(init, jax.random.key(0), images)
