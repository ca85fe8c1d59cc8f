import jax
import numpy as np
import pytest
from flax import linen as nn

from normlab import errors, models, norms


@pytest.mark.parametrize('name', norms.ACTIVATION_NORMS)
def test_a_norm_of_activations_fills_one_hook(name):
  hooks = norms.build(name=name)
  assert hooks.kernel_norm is None
  assert type(hooks.norm()) is norms.NORMS[name]


@pytest.mark.parametrize('name', norms.KERNEL_NORMS)
def test_a_norm_of_kernels_fills_the_other(name):
  hooks = norms.build(name=name)
  assert hooks.norm is None
  assert hooks.kernel_norm.layer is norms.NORMS[name]


def test_weight_norm_with_mean_only_batch_norm_fills_both():
  hooks = norms.build(
    name='weight', mean_only_batch_norm=True, momentum=0.9, epsilon=1e-8
  )
  assert type(hooks.norm()) is norms.MeanOnlyBatchNorm
  assert hooks.norm().momentum == 0.9
  assert dict(hooks.kernel_norm.fields) == {'epsilon': 1e-8}


def test_a_field_of_both_goes_to_both():
  hooks = norms.build(
    name='weight', mean_only_batch_norm=True, dtype='bfloat16'
  )
  assert (
    hooks.norm.fields == hooks.kernel_norm.fields == (('dtype', 'bfloat16'),)
  )


def test_a_field_of_the_norm_that_is_not_there_is_an_error():
  with pytest.raises(errors.ConfigError, match=r'momentum=0.9 .*=True adds'):
    norms.build(name='weight', momentum=0.9)


def test_the_wrapped_layer_is_no_field():
  with pytest.raises(errors.ConfigError, match='layer_instance'):
    norms.build(name='weight', layer_instance=None)


def test_hooks_are_a_mapping():
  hooks = norms.build(name='spectral')
  assert {**hooks} == {'norm': None, 'kernel_norm': hooks.kernel_norm}
  with pytest.raises(KeyError):
    hooks['kernel']


def test_hooks_of_equal_fields_are_equal_and_hash_alike():
  first, second = (norms.build(name='weight', epsilon=1e-8) for _ in range(2))
  assert first == second and hash(first) == hash(second)
  assert first != norms.build(name='weight')


@pytest.mark.parametrize(
  'use',
  [lambda h: h(), lambda h: h.replaces_bias, lambda h: h.replaces_activation],
)
def test_a_norm_of_kernels_is_never_lost(use):
  with pytest.raises(TypeError, match="'WeightNorm'} cannot be called as norm"):
    use(norms.build(name='weight'))


def test_hooks_of_one_kind_are_called_as_its_factory():
  dense = nn.Dense(2)
  hooks = norms.build('weight')
  assert hooks(dense, name='n') == hooks.kernel_norm(dense, name='n')
  for hooks in (norms.Hooks(), norms.build('batch')):
    with pytest.raises(TypeError, match='cannot be called as kernel_norm'):
      hooks(dense)


def test_hooks_of_two_builds_fill_a_model():
  group = norms.build('group', num_groups=1)
  kernel = norms.build('weight_standardization')
  model = models.build('cnn', num_classes=2, norm=group, kernel_norm=kernel)
  variables = capture(model, np.ones((1, 8, 8, 1), np.float32))[1]
  assert {'conv', 'norm'} == variables['params']['layer1'].keys()


def test_a_layer_of_flax_brings_its_own_bias():
  assert norms.NormFactory(nn.BatchNorm).replaces_bias


@pytest.mark.parametrize(
  'name, fields, replaces',
  [
    ('batch', {}, (True, False)),
    ('rms', {}, (False, False)),
    ('filter_response', {}, (True, True)),
    ('filter_response', {'use_tlu': False}, (True, False)),
    ('evonorm_b0', {}, (False, True)),
    ('evonorm_s0', {}, (False, True)),
    ('dynamic_tanh', {}, (False, False)),
    ('noise', {}, (False, False)),
  ],
)
def test_the_factory_says_what_the_norm_replaces(name, fields, replaces):
  hooks = norms.build(name=name, **fields)
  for factory in (hooks, hooks.norm):
    assert (factory.replaces_bias, factory.replaces_activation) == replaces


def capture(model, x):
  """The input of the logits, and all parameters, after initialization."""
  variables = model.init(jax.random.key(0), x, train=False)
  _, state = model.apply(
    variables, x, train=False, capture_intermediates=True, mutable=True
  )
  return state['intermediates'], variables


def test_a_model_leaves_out_what_the_norm_replaces():
  x = np.random.default_rng(0).normal(0, 1, (4, 6)).astype(np.float32)
  for name, activated in (('evonorm_b0', False), ('batch', True)):
    model = models.build(
      'mlp',
      num_classes=3,
      widths=(8,),
      activation='sigmoid',
      **norms.build(name=name),
    )
    seen, variables = capture(model, x)
    layer = seen['layer1']
    norm, out = (
      np.asarray(value)
      for value in (layer['norm']['__call__'][0], layer['__call__'][0])
    )
    desired = 1 / (1 + np.exp(-norm)) if activated else norm
    np.testing.assert_allclose(out, desired, rtol=1e-5)
    has_bias = 'bias' in variables['params']['layer1']['dense']
    assert has_bias == (not activated)
