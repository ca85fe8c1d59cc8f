"""Optimizers and schedules by name, through optax.

An optimizer is built from its numbers inside the compiled step, where they are
arguments: runs that differ in a learning rate or a momentum share one program.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np
import optax

from normlab import errors, registry

Number = float | jax.Array
# Learning rates that are computed together.
BLOCK = 65_536


def momentum(momentum: Number = 0.9) -> optax.GradientTransformation:
  """v = momentum * v + g."""
  return optax.trace(momentum)


def nesterov(momentum: Number = 0.9) -> optax.GradientTransformation:
  """Momentum that looks one step ahead (Sutskever et al. 2013)."""
  return optax.trace(momentum, nesterov=True)


def rmsprop(
  decay: Number = 0.9, momentum: Number = 0.0, epsilon: Number = 1e-8
) -> optax.GradientTransformation:
  """g / sqrt(E[g^2]) (Tieleman & Hinton 2012), with momentum behind it."""
  return optax.chain(
    optax.scale_by_rms(decay=decay, eps=epsilon), optax.trace(momentum)
  )


def adam(
  beta1: Number = 0.9, beta2: Number = 0.999, epsilon: Number = 1e-8
) -> optax.GradientTransformation:
  """Adam (Kingma & Ba 2015, arXiv:1412.6980)."""
  return optax.scale_by_adam(b1=beta1, b2=beta2, eps=epsilon)


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
  'sgd': optax.identity,
  'momentum': momentum,
  'nesterov': nesterov,
  'rmsprop': rmsprop,
  'adam': adam,
  'adamw': adam,
}

# Weight decay of these acts on the weights, not through the gradient's
# statistics (Loshchilov & Hutter 2019, arXiv:1711.05101).
DECOUPLED = ('adamw',)


def build(
  *,
  name: str,
  learning_rate: Number,
  weight_decay: Number = 0.0,
  clip_norm: Number | None = None,
  options: Iterable[tuple[str, Any]] = (),
  **fields: Number,
) -> optax.GradientTransformation:
  """An optimizer, ready to update parameters; its numbers may be traced.

  Args:
    name: a key of `OPTIMIZERS`, or the import path of a factory as optax has
      them. One with an argument `learning_rate` returns the whole update; else
      the rate is multiplied behind it. One with `weight_decay` decays itself,
      with `mask`, if it has that, as below.
    weight_decay: weight * parameter is added to the gradient (L2), or to the
      update for 'adamw', for parameters of rank two and more: scales and
      biases are not decayed.
    clip_norm: the global norm that gradients are scaled down to, before
      anything else; None is off.
    options: further arguments, which are no numbers of a config's fields.

  Raises:
    errors.ConfigError: an unknown name or field; lists the known ones.
  """
  function = registry.find('optimizer', name, OPTIMIZERS)
  known = registry.arguments(function)
  fields |= options
  registry.check_fields(f'optimizer {name!r}', fields, known)
  shared = {
    'learning_rate': learning_rate,
    'weight_decay': weight_decay,
    'mask': decayed,
  }
  taken = {k: v for k, v in shared.items() if k in known}
  core = function(**(taken | fields))
  decay = optax.add_decayed_weights(weight_decay, mask=decayed)
  parts = [core, decay] if name in DECOUPLED else [decay, core]
  if 'weight_decay' in taken:
    parts = [core]
  if clip_norm is not None:
    parts.insert(0, optax.clip_by_global_norm(clip_norm))
  if 'learning_rate' not in taken:
    parts.append(optax.scale(-learning_rate))
  return optax.chain(*parts)


def fields_of(name: str) -> list[str]:
  """What `build` takes for an optimizer, and the learning rate's multiplier."""
  own = registry.arguments(registry.find('optimizer', name, OPTIMIZERS))
  shared = ['learning_rate', 'learning_rate_multiplier']
  return [*shared, 'weight_decay', 'clip_norm', *own]


def schedule_fields_of(name: str) -> list[str]:
  """What `build_schedule` takes for a schedule."""
  function = registry.find('schedule', name, SCHEDULES)
  return ['warmup_steps', *registry.arguments(function)]


def decayed(params: Any) -> Any:
  """Which parameters weight decay acts on: matrices and kernels, by rank."""
  return jax.tree.map(lambda p: p.ndim > 1, params)


def exponential(decay_rate: float, decay_steps: float) -> optax.Schedule:
  """learning rate * decay_rate ** (step / decay_steps)."""
  return optax.exponential_decay(1.0, decay_steps, decay_rate)


def step(
  boundaries: tuple[int, ...], decay_rate: float = 0.1
) -> optax.Schedule:
  """Multiplies the learning rate by `decay_rate` at each boundary (a step)."""
  return optax.piecewise_constant_schedule(
    1.0, {int(boundary): decay_rate for boundary in boundaries}
  )


def cosine(decay_steps: int, final_fraction: float = 0.0) -> optax.Schedule:
  """Half a cosine down to `final_fraction` (arXiv:1608.03983)."""
  return optax.cosine_decay_schedule(1.0, decay_steps, final_fraction)


SCHEDULES: dict[str, Callable[..., optax.Schedule]] = {
  'constant': lambda: optax.constant_schedule(1.0),
  'exponential': exponential,
  'step': step,
  'cosine': cosine,
}

# Arguments of a schedule that follow from the length of the run.
STEPS_AFTER = {'decay_steps', 'total_steps'}


def build_schedule(
  *, name: str, total_steps: int, warmup_steps: int = 0, **fields: Any
) -> optax.Schedule:
  """The factor on the learning rate, as a function of the step (from 0).

  Args:
    name: a key of `SCHEDULES`, or the import path of what makes a schedule. It
      is given an array of steps.
    warmup_steps: the factor rises linearly over these, and the schedule begins
      after them.
    **fields: the arguments of that schedule; those of `STEPS_AFTER` default to
      the steps after the warm-up.

  Raises:
    errors.ConfigError: an unknown name, an unknown or a missing field.
  """
  function = registry.find('schedule', name, SCHEDULES)
  known = registry.arguments(function)
  registry.check_fields(f'schedule {name!r}', fields, known)
  for field in STEPS_AFTER & {*known}:
    fields.setdefault(field, max(1, total_steps - warmup_steps))
  missing = registry.missing_arguments(function, fields)
  if missing:
    raise errors.ConfigError(f'schedule {name!r} needs {" and ".join(missing)}')
  after = function(**fields)
  if not warmup_steps:
    return after
  # The first update already moves: (step + 1) / warmup_steps.
  rise = optax.linear_schedule(1 / warmup_steps, 1.0, max(1, warmup_steps - 1))
  return optax.join_schedules([rise, after], [warmup_steps])


class LearningRates:
  """The learning rate of every step, computed in blocks as they are needed.

  A run of 31 million steps would take seconds and a gigabyte for all at once.
  """

  def __init__(
    self, learning_rate: float, schedule: optax.Schedule, total_steps: int
  ):
    """Takes the rate, and its factor as a function of the step (from 0)."""
    self._total = total_steps

    @functools.lru_cache(maxsize=2)
    def block(number: int) -> np.ndarray:
      first = number * BLOCK
      steps = np.arange(first, min(first + BLOCK, total_steps))
      factors = np.asarray(schedule(steps), np.float32)
      return np.broadcast_to(np.float32(learning_rate) * factors, len(steps))

    self._block = block

  def __len__(self) -> int:
    """The number of steps."""
    return self._total

  def __getitem__(self, step: int) -> np.float32:
    """The rate of a step, from 0."""
    return self._block(step // BLOCK)[step % BLOCK]

  def of(self, first: int, count: int) -> np.ndarray:
    """The rates of `count` steps from `first` (0): float32 [count]."""
    within = first % BLOCK
    if within + count <= BLOCK:
      return self._block(first // BLOCK)[within : within + count]
    return np.array([self[first + i] for i in range(count)])
