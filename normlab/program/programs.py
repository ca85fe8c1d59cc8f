"""Programs: what of a run is compiled, and the numbers it is given.

A `Program` holds the choices that shape the compiled step; the numbers of the
optimizer are its arguments. Two runs with equal programs compile once.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
import optax
from flax import linen as nn

from normlab import data, models, norms, own_code
from normlab.data import Augmentation
from normlab.program import optim
from normlab.program.metrics import OwnMetrics, find_metrics


@dataclasses.dataclass(frozen=True)
class Program:
  """The static part of a training step; hashable, for `jax.jit`.

  Attributes:
    model: maps images and `train` to logits.
    optimizer: a key of `optim.OPTIMIZERS`, or an import path.
    microbatches: parts of a batch, one after the other.
    log_layer_norms: whether the norms of each tensor are among the metrics.
    optimizer_options: further arguments of the optimizer, as pairs.
    metrics: own ones, beside those of `metrics.per_example`.
  """

  model: nn.Module
  optimizer: str
  augmentation: Augmentation = Augmentation()
  microbatches: int = 1
  log_layer_norms: bool = False
  optimizer_options: tuple[tuple[str, Any], ...] = ()
  metrics: OwnMetrics = ()

  def build_optimizer(self, hyper: 'Hyper') -> optax.GradientTransformation:
    """The optimizer, of numbers that may be traced."""
    return optim.build(
      name=self.optimizer, options=self.optimizer_options, **hyper.optimizer
    )

  def with_numbers(self, hyper: 'Hyper') -> 'Program':
    """The program with the numbers of a model that are arguments of the step.

    Only for use inside the step: it is no longer hashable.
    """
    if not hyper.model and not hyper.norm:
      return self
    hooks = {
      hook: factory.with_numbers(hyper.norm)
      for hook in ('norm', 'kernel_norm')
      if (factory := getattr(self.model, hook, None)) is not None
    }
    model = self.model.clone(**hooks, **hyper.model)
    return dataclasses.replace(self, model=model)


class Hyper(NamedTuple):
  """The numbers of a training step, or of the steps of a call: a pytree.

  Attributes:
    optimizer: float32 scalars, the arguments of `optim.build`. For a call the
      `learning_rate` is that of each step, [steps].
    ema_decay: float32, of the moving average of the parameters, if kept.
    label_smoothing: float32, of the training loss, if there is any.
    model: float32 scalars by their field of the model, which are constants of
      a program, except for one of runs that differ in them.
    norm: numbers of the norm, by field.
  """

  optimizer: dict[str, np.ndarray]
  ema_decay: np.ndarray | None = None
  label_smoothing: np.ndarray | None = None
  model: dict[str, np.ndarray] = {}
  norm: dict[str, np.ndarray] = {}

  def with_rates(self, rates: jax.Array | np.ndarray) -> 'Hyper':
    """The same numbers with other learning rates."""
    return self._replace(optimizer={**self.optimizer, 'learning_rate': rates})

  @property
  def rates(self) -> jax.Array:
    """The learning rates of the steps of a call."""
    return self.optimizer['learning_rate']

  def of_step(self, i: int | jax.Array) -> 'Hyper':
    """The numbers of the i-th step of a call."""
    return self.with_rates(self.rates[i])


def build(config: ml_collections.ConfigDict, num_classes: int) -> Program:
  """The program of a config.

  Raises:
    errors.ConfigError: an unknown name, or a field that its owner lacks.
  """
  return Program(
    model=build_model(config, num_classes),
    optimizer=config.optimizer.name,
    optimizer_options=tuple(
      (k, norms.hashable(v)) for k, v in options(config.optimizer).items()
    ),
    augmentation=build_augmentation(config),
    microbatches=config.microbatches,
    log_layer_norms=config.log_layer_norms,
    metrics=find_metrics(config.metrics or ()),
  )


def build_augmentation(config: ml_collections.ConfigDict) -> Augmentation:
  """The augmentation of a config: ours, then one's own."""
  path = config.data.augmentation
  own = path and own_code.function('augmentation', path)
  # Streamed images come cropped and mirrored.
  if data.is_streamed(config.data.name):
    return Augmentation(own=own)
  return Augmentation(config.data.random_crop, config.data.random_flip, own)


def build_model(
  config: ml_collections.ConfigDict, num_classes: int
) -> nn.Module:
  """The model of a config, with its norm."""
  hooks = {**norms.build(name=config.norm.name, **all_fields(config.norm))}
  if config.norm.name == 'none':
    # Own code without norms need not declare them.
    known = models.fields_of(config.model.name)
    hooks = {hook: made for hook, made in hooks.items() if hook in known}
  return models.build(
    name=config.model.name,
    num_classes=num_classes,
    **hooks,
    **all_fields(config.model),
  )


def hyperparameters(
  config: ml_collections.ConfigDict, arguments: Iterable[str] = ()
) -> Hyper:
  """The numbers of a step, at the peak of the learning rate: float32 scalars.

  Args:
    arguments: paths of fields that are set, as 'norm.momentum', which are to be
      arguments of the step and not constants of the program.
  """
  fields = set_fields(config.optimizer)
  fields['learning_rate'] *= fields.pop('learning_rate_multiplier')
  added = {'model': {}, 'norm': {}}
  for path in arguments:
    section, name = path.split('.')
    added[section][name] = np.float32(config[section][name])
  smoothing, decay = config.label_smoothing, config.ema_decay
  return Hyper(
    {name: np.float32(value) for name, value in fields.items()},
    ema_decay=None if decay is None else np.float32(decay),
    label_smoothing=None if smoothing is None else np.float32(smoothing),
    **added,
  )


def learning_rates(config: ml_collections.ConfigDict) -> optim.LearningRates:
  """The learning rate of each step."""
  optimizer, total_steps = config.optimizer, config.total_steps
  schedule = optim.build_schedule(
    name=config.schedule.name,
    total_steps=total_steps,
    **all_fields(config.schedule),
  )
  peak = optimizer.learning_rate * optimizer.learning_rate_multiplier
  return optim.LearningRates(peak, schedule, total_steps)


def set_fields(section: ml_collections.ConfigDict) -> dict[str, object]:
  """The fields of a section that are set, without its name and options."""
  return {
    name: value
    for name, value in section.items()
    if name not in ('name', 'options') and value is not None
  }


def options(section: ml_collections.ConfigDict) -> dict[str, object]:
  """The options of a section that are set."""
  return {k: v for k, v in section.options.items() if v is not None}


def all_fields(section: ml_collections.ConfigDict) -> dict[str, object]:
  """The fields and options of a section that are set, without its name."""
  return set_fields(section) | options(section)
