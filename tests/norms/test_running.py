import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from normlab.norms.core.running import BatchFields, share_kept


class Averages(BatchFields):
  """Running averages of what it is called with, and nothing else."""

  @nn.compact
  def __call__(self, value, count):
    running = self.running_statistics(
      value.shape, jnp.float32, mean=jnp.zeros, var=jnp.ones
    )
    self.update(running, count, mean=value, var=2 * value)


def averaged(layer, calls):
  """The state after calls with (value, count)."""
  variables = layer.init(jax.random.key(0), *calls[0])
  for value, count in calls:
    _, variables = layer.apply(variables, value, count, mutable=['batch_stats'])
  return variables['batch_stats']


VALUES = np.float32([[2, -1], [0, 4], [5, 3]])
CALLS = [(value, 1.0) for value in VALUES]


@pytest.mark.parametrize('momentum', [0.0, 0.5, 0.9, 0.99, 0.999])
def test_shares_are_those_of_geometric_weights(momentum):
  # By induction: with the share s_t the average of t + 1 values has weights
  # momentum^(t-i) / S_(t+1), where S_t = 1 + momentum + ... + momentum^(t-1).
  powers = momentum ** np.arange(200.0)
  sums = np.concatenate([[0], np.cumsum(powers)])
  updates = np.array([0, 1, 2, 10, 100])
  np.testing.assert_allclose(
    share_kept(momentum, jnp.asarray(updates)),
    momentum * sums[updates] / sums[updates + 1],
    rtol=2e-4,
  )


@pytest.mark.parametrize('momentum', [None, 1])
def test_without_forgetting_the_share_is_that_of_a_mean(momentum):
  updates = np.array([0, 1, 2, 9])
  np.testing.assert_allclose(
    share_kept(momentum, jnp.asarray(updates)), [0, 1 / 2, 2 / 3, 0.9]
  )


def test_the_share_grows_towards_the_momentum():
  shares = share_kept(0.9, jnp.arange(300))
  assert shares[0] == 0
  assert (np.diff(shares) > -1e-6).all()
  np.testing.assert_allclose(shares[-1], 0.9, rtol=1e-6)


def test_each_share_is_of_its_own_entry():
  shares = share_kept(0.9, jnp.array([0, 5, 1]))
  for index, updates in enumerate((0, 5, 1)):
    assert shares[index] == share_kept(0.9, jnp.array(updates))


@pytest.mark.parametrize('momentum', [0.0, 0.75, 1.0])
def test_an_update_keeps_the_share_of_the_momentum(momentum):
  state = averaged(Averages(momentum=momentum), CALLS[:1])
  value = (1 - momentum) * VALUES[0]
  np.testing.assert_allclose(state['mean'], value)
  np.testing.assert_allclose(state['var'], momentum + 2 * value)
  assert set(state) == {'mean', 'var'}


@pytest.mark.parametrize(
  'fields, weights',
  [
    ({'momentum': None}, [1, 1, 1]),
    ({'momentum': 1.0, 'debias': True}, [1, 1, 1]),
    ({'momentum': 0.5, 'debias': True}, [1, 2, 4]),
    ({'momentum': 0.0, 'debias': True}, [0, 0, 1]),
  ],
)
def test_no_average_holds_a_share_of_its_start(fields, weights):
  state = averaged(Averages(**fields), CALLS)
  desired = np.average(VALUES, 0, weights)
  np.testing.assert_allclose(state['mean'], desired, rtol=1e-6)
  np.testing.assert_allclose(state['var'], 2 * desired, rtol=1e-6)
  np.testing.assert_array_equal(state['updates'], [3, 3])
  assert state['updates'].dtype == jnp.int32


def test_initializing_is_no_update():
  layer = Averages(momentum=None)
  state = layer.init(jax.random.key(0), *CALLS[0])['batch_stats']
  np.testing.assert_array_equal(state['mean'], [0, 0])
  np.testing.assert_array_equal(state['var'], [1, 1])
  np.testing.assert_array_equal(state['updates'], [0, 0])


@pytest.mark.parametrize('fields', [{'momentum': 0.5}, {'momentum': None}])
def test_entries_without_values_stay_even_if_their_statistics_are_nan(fields):
  layer = Averages(**fields)
  value = jnp.array([3.0, jnp.nan])
  state = averaged(layer, [(value, jnp.array([2.0, 0.0]))])
  assert state['mean'][0] > 0
  assert state['mean'][1] == 0
  assert state['var'][1] == 1
  if 'updates' in state:
    assert state['updates'].tolist() == [1, 0]


@pytest.mark.parametrize('momentum', [-0.01, 1.01, 90, float('nan')])
def test_a_momentum_outside_0_to_1_is_an_error_that_shows_it(momentum):
  with pytest.raises(ValueError, match=f'^Averages: momentum={momentum} must'):
    Averages(momentum=momentum).uses_running_average(False)


@pytest.mark.parametrize('field, argument', [(None, None), (True, False)])
def test_the_mode_is_given_in_exactly_one_place(field, argument):
  where = 'neither' if field is None else 'both'
  with pytest.raises(ValueError, match=f'^Averages: .* {where} of constructor'):
    Averages(field).uses_running_average(argument)


@pytest.mark.parametrize('asked', [True, False])
def test_the_mode_is_the_one_asked_for_unless_frozen(asked):
  assert Averages().uses_running_average(asked) is asked
  assert Averages(asked).uses_running_average(None) is asked
  assert Averages(frozen=True).uses_running_average(asked)
  assert Averages(asked, frozen=True).uses_running_average(None)


@pytest.mark.parametrize(
  'axis, features, reduced',
  [(-1, [2], [0, 1]), (1, [1], [0, 2]), ((0, -1), [0, 2], [1])],
)
def test_all_axes_but_those_of_features_are_reduced(axis, features, reduced):
  x = np.zeros((2, 3, 4))
  found = Averages(axis=axis).feature_and_reduction_axes(x)
  assert found == (features, reduced)
