"""Numbers of a norm that are arguments of the compiled program."""

import jax
import norms_reference as reference
import numpy as np
import pytest
from flax import linen as nn

from normlab import norms
from normlab.norms.core import running

# Of every norm that has such a field.
NUMBERS = {
  'epsilon': 0.25,
  'momentum': 0.75,
  'r_max': 1.5,
  'd_max': 0.5,
  'schedule_scale': 1e-4,
  'mean_range': 0.5,
  'max_std': 1.5,
  'mean_jitter': 0.25,
  'std_jitter': 0.25,
}
X = reference.normal((6, 3, 4), mean=1, std=2)
KEY = jax.random.key(0)
CASES = [
  *((name, {}) for name in norms.NORMS),
  ('batch', {'debias': True}),
  ('batch_renorm', {'debias': True}),
  ('weight', {'mean_only_batch_norm': True}),
]


class Network(nn.Module):
  """A dense layer with a norm of either hook."""

  hooks: norms.Hooks

  @nn.compact
  def __call__(self, x, train):
    layer = nn.Dense(4, name='dense')
    norm, kernel_norm = self.hooks.norm, self.hooks.kernel_norm
    if kernel_norm is None:
      x = layer(x)
    else:
      x = kernel_norm(layer, name='kernel_norm')(x, update_stats=train)
    return x if norm is None else norm(name='norm')(x, not train)


def hooks_of(name, numbers, others):
  known = norms.fields_of(name)
  own = {k: v for k, v in numbers.items() if k in known}
  if name == 'weight' and not others:
    del own['momentum']  # It is of the norm that is not added.
  if name in ('group', 'evonorm_s0'):
    others = {**others, 'num_groups': 2}
  return norms.build(name, **own, **others), own


def trained(hooks, variables):
  """Output and new state in training, and the output with that state."""
  model = Network(hooks)
  y, state = model.apply(
    variables, X, True, mutable=['batch_stats'], rngs={'noise': KEY}
  )
  return y, state, model.apply({**variables, **state}, X, False)


@pytest.mark.slow
@pytest.mark.parametrize('name, others', CASES, ids=str)
def test_a_number_that_is_an_argument_does_what_a_constant_does(name, others):
  hooks, numbers = hooks_of(name, NUMBERS, others)
  if not numbers:
    return
  variables = Network(hooks).init(KEY, X, True)
  # Numbers of the right kind, which must not be seen.
  template, _ = hooks_of(name, dict.fromkeys(NUMBERS, 1.0), others)

  @jax.jit
  def with_arguments(numbers):
    made = {
      hook: factory and factory.with_numbers(numbers)
      for hook, factory in {**template}.items()
    }
    return trained(norms.Hooks(**made), variables)

  expected = jax.jit(lambda: trained(hooks, variables))()
  ours = with_arguments({k: np.float32(v) for k, v in numbers.items()})
  for a, b in zip(
    jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True
  ):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('momentum', [0.0, 0.5, 1.0])
def test_a_debiased_average_takes_any_momentum(momentum):
  share_kept = running.share_kept
  for updates in (0, 1, 7):
    ours = jax.jit(share_kept)(np.float32(momentum), updates)
    np.testing.assert_allclose(
      ours, share_kept(momentum, np.int32(updates)), rtol=1e-6
    )


def test_numbers_that_are_not_set_stay_what_they_are():
  hooks, _ = hooks_of('batch', {'momentum': 0.5}, {})
  factory = hooks.norm.with_numbers({'momentum': 0.25, 'epsilon': 3.0})
  assert factory == norms.build('batch', momentum=0.25).norm
