"""What of a run is compiled, and which numbers it is given.

A `Program` holds the choices that shape the compiled step; the numbers of the
optimizer are its arguments. Two runs with equal programs compile once.
"""

import dataclasses

import ml_collections
import numpy as np
import optax
from flax import linen as nn

from normlab import models, norms, optim
from normlab.data import Augmentation


@dataclasses.dataclass(frozen=True)
class Program:
  """The static part of a training step; hashable, for `jax.jit`.

  Attributes:
    model: maps images and `train` to logits.
    optimizer: a key of `optim.OPTIMIZERS`.
    augmentation: of the training images.
  """

  model: nn.Module
  optimizer: str
  augmentation: Augmentation = Augmentation()


def build(config: ml_collections.ConfigDict, num_classes: int) -> Program:
  """The program of a config.

  Args:
    config: as in `configs/base.py`.
    num_classes: of the data set.

  Raises:
    names.ConfigError: an unknown name, or a field that its owner lacks.
  """
  hooks = norms.build(name=config.norm.name, **set_fields(config.norm))
  model = models.build(
    name=config.model.name,
    num_classes=num_classes,
    **hooks,
    **set_fields(config.model),
  )
  augmentation = Augmentation(config.data.random_crop, config.data.random_flip)
  return Program(model, config.optimizer.name, augmentation)


def hyperparameters(config: ml_collections.ConfigDict) -> dict[str, np.ndarray]:
  """The numbers of the optimizer, learning rate aside: float32 scalars."""
  fields = set_fields(config.optimizer)
  del fields['learning_rate'], fields['learning_rate_multiplier']
  return {name: np.float32(value) for name, value in fields.items()}


def build_schedule(config: ml_collections.ConfigDict) -> optax.Schedule:
  """The factor on the learning rate, as a function of the step.

  Raises:
    names.ConfigError: an unknown schedule, or a field missing or unknown.
  """
  return optim.build_schedule(
    name=config.schedule.name,
    total_steps=config.total_steps,
    **set_fields(config.schedule),
  )


def learning_rates(config: ml_collections.ConfigDict) -> np.ndarray:
  """The learning rate of each step: float32 [total_steps]."""
  optimizer = config.optimizer
  peak = optimizer.learning_rate * optimizer.learning_rate_multiplier
  return optim.learning_rates(peak, build_schedule(config), config.total_steps)


def set_fields(section: ml_collections.ConfigDict) -> dict[str, object]:
  """The fields of a section that are set, without its name."""
  return {
    name: value
    for name, value in section.items()
    if name != 'name' and value is not None
  }
