import functools

import flax
import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest
import trained_models
from flax import linen as nn

from normlab import norms
from normlab.norms.mean_only import MeanOnlyBatchNorm
from normlab.norms.trained.folding import fold, fold_layer

X = trained_models.IMAGES


def folds(model, variables, norm):
  y = trained_models.infer(model.clone(norm=None), fold(variables, norm), X)
  desired = trained_models.infer(model, variables, X)
  np.testing.assert_allclose(y, desired, atol=1e-5 * abs(desired).max(), rtol=0)


@pytest.mark.parametrize('norm', ['batch', 'batch_renorm'])
@pytest.mark.parametrize('name', trained_models.FIELDS)
def test_a_folded_model_infers_what_the_model_does(name, norm):
  norm = norms.build(name=norm, epsilon=0.1)
  model = trained_models.build(name, norm=norm)
  variables = trained_models.randomized(model, X, train=False)
  folds(model, variables, norm)


@pytest.mark.parametrize(
  'norm',
  [
    functools.partial(norms.LpBatchNorm, epsilon=0.1, p=3),
    norms.MeanOnlyBatchNorm,
    norms.NoisyBatchNorm,
    functools.partial(nn.BatchNorm, epsilon=0.1, use_scale=False),
    functools.partial(norms.BatchNorm, use_scale=False, use_bias=False),
  ],
)
def test_every_norm_that_is_affine_in_inference_folds(norm):
  model = trained_models.build('mlp', norm=norm)
  variables = trained_models.randomized(model, X, train=False)
  folds(model, variables, norm)
  assert fold(variables, norm()).keys() == {'params'}


KERNEL = reference.normal((2, 2, 3, 4))
SCALE, BIAS, MEAN, FRONT = reference.normal((4, 4), seed=1)
VAR = np.exp(reference.normal((4,), seed=2))
STATS = {'mean': MEAN, 'var': VAR}
PARAMS = {'scale': SCALE, 'bias': BIAS}


def test_kernel_and_bias_are_the_closed_form():
  new = fold_layer(
    {'kernel': KERNEL, 'bias': FRONT},
    PARAMS,
    STATS,
    norms.BatchNorm(epsilon=0.5),
  )
  multiplier = SCALE / np.sqrt(VAR + 0.5)
  np.testing.assert_allclose(new['kernel'], KERNEL * multiplier, rtol=1e-6)
  np.testing.assert_allclose(
    new['bias'], (FRONT - MEAN) * multiplier + BIAS, rtol=1e-5
  )


def test_kernel_and_bias_are_those_of_torch():
  torch = pytest.importorskip('torch')
  conv, norm = torch.nn.Conv2d(3, 4, 2), torch.nn.BatchNorm2d(4, eps=0.5)
  kernel = torch.tensor(KERNEL.transpose(3, 2, 0, 1))
  conv.load_state_dict({'weight': kernel, 'bias': torch.tensor(FRONT)})
  norm.load_state_dict(
    {
      'weight': torch.tensor(SCALE),
      'bias': torch.tensor(BIAS),
      'running_mean': torch.tensor(MEAN),
      'running_var': torch.tensor(VAR),
    },
    strict=False,
  )
  desired = torch.nn.utils.fuse_conv_bn_eval(conv.eval(), norm.eval())
  new = fold_layer(
    {'kernel': KERNEL, 'bias': FRONT},
    PARAMS,
    STATS,
    norms.BatchNorm(epsilon=0.5),
  )
  np.testing.assert_allclose(
    new['kernel'].transpose(3, 2, 0, 1), desired.weight.detach(), rtol=1e-5
  )
  np.testing.assert_allclose(
    new['bias'], desired.bias.detach(), rtol=1e-5, atol=1e-6
  )


def test_a_layer_keeps_its_dtype_and_a_constant_channel_stays_finite():
  new = fold_layer(
    {'kernel': jnp.asarray(KERNEL, jnp.bfloat16)},
    PARAMS,
    {'mean': MEAN, 'var': np.zeros(4, np.float32)},
    norms.BatchNorm(),
  )
  assert all(leaf.dtype == jnp.bfloat16 for leaf in new.values())
  assert all(
    np.isfinite(leaf.astype(np.float32)).all() for leaf in new.values()
  )


def test_the_rest_of_the_variables_is_kept_and_the_input_not_changed():
  node = {'conv': {'kernel': KERNEL}, 'norm': PARAMS}
  alone = {'norm': PARAMS}
  variables = flax.core.freeze(
    {
      'params': {'a': {'b': node}, 'c': alone, 'd': {'kernel': KERNEL}},
      'batch_stats': {'a': {'b': {'norm': STATS}}, 'c': {'norm': STATS}},
      'cache': {'e': SCALE},
    }
  )
  new = fold(variables, norms.BatchNorm)
  assert new['params']['a']['b'].keys() == {'conv'}
  assert new['params']['a']['b']['conv'].keys() == {'kernel', 'bias'}
  assert new['params']['c'] == alone
  assert new['params']['d']['kernel'] is KERNEL
  assert new['batch_stats'] == {'c': {'norm': STATS}}
  assert new['cache']['e'] is SCALE
  plain = flax.core.unfreeze(variables)
  fold(plain, norms.BatchNorm)
  assert jax.tree.structure(plain) == jax.tree.structure(
    flax.core.unfreeze(variables)
  )
  assert plain['params']['a']['b']['conv']['kernel'] is KERNEL


@pytest.mark.parametrize(
  ('norm', 'problem'),
  [
    (norms.build(name='group'), 'GroupNorm cannot be folded'),
    (norms.LayerNorm(), 'LayerNorm cannot be folded'),
    (None, 'norm=None; the model has no norm'),
    (norms.build(name='weight_standardization'), 'normalizes the kernel'),
    (norms.BatchNorm(axis=1), 'BatchNorm with axis=1 must'),
    (norms.BatchRenorm(), r"BatchRenorm with .*\['mean', 'std'\]"),
    (MeanOnlyBatchNorm(), r"MeanOnlyBatchNorm with .*\['bias'\]"),
  ],
)
def test_a_norm_that_does_not_fit_is_an_error_that_names_it(norm, problem):
  with pytest.raises(ValueError, match=f'^fold: .*{problem}'):
    fold_layer({'kernel': KERNEL}, PARAMS, STATS, norm)


@pytest.mark.parametrize(
  ('layer', 'problem'),
  [
    ({'kernel': KERNEL[..., :3]}, r'shape \(4,\) must'),
    ({'kernel': KERNEL, 'scale': SCALE}, r"\['kernel', 'scale'\]"),
    ({'bias': FRONT}, r"\['bias'\]"),
  ],
)
def test_a_layer_that_does_not_fit_is_an_error(layer, problem):
  with pytest.raises(ValueError, match=f'^fold: .*{problem}'):
    fold_layer(layer, PARAMS, STATS, norms.BatchNorm())


@pytest.mark.parametrize('wrap', [norms.WeightNorm, norms.SpectralNorm])
def test_a_normalized_kernel_is_an_error(wrap):
  class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
      x = wrap(nn.Dense(3, name='dense'))(x, update_stats=False)
      return norms.BatchNorm(True, name='norm')(x)

  variables = Block().init(jax.random.key(0), np.ones((2, 4), np.float32))
  with pytest.raises(ValueError, match=f'{wrap.__name__}.*normalizes the'):
    fold(variables, norms.BatchNorm)


@pytest.mark.parametrize(
  'params',
  [
    {'norm': PARAMS},
    {'conv': {'kernel': KERNEL}},
    {'norm': PARAMS, 'a': {'kernel': KERNEL}, 'b': {'kernel': KERNEL}},
  ],
)
def test_variables_without_a_pair_are_an_error(params):
  stats = {'norm': STATS} if 'norm' in params else {}
  with pytest.raises(ValueError, match='^fold: the variables hold no module'):
    fold({'params': params, 'batch_stats': stats}, norms.BatchNorm)
