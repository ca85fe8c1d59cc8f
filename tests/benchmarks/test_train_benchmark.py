import jax
import numpy as np
import pytest

from normlab.benchmarks import plain_flax, timing, train


def parameter_count(tree):
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
  ('model', 'fields'), [case[3:5] for case in train.CASES]
)
def test_plain_models_are_the_same_networks(model, fields):
  from normlab import models, norms

  images = np.zeros((1, 8, 8, 3), np.float32)
  ours = models.build(
    name=model, num_classes=10, norm=norms.build(name='batch'), **fields
  )
  shapes = [
    jax.eval_shape(
      lambda n=network, f=flags: n.init(jax.random.key(0), images, **f)
    )
    for network, flags in (
      (ours, {'train': False}),
      (train.PLAIN[model](**fields), {'train': False}),
    )
  ]
  assert parameter_count(shapes[0]) == parameter_count(shapes[1])


def test_torch_models_are_the_same_networks():
  pytest.importorskip('torch')
  from normlab.benchmarks import plain_torch

  network = plain_torch.small_inception(3, 1 / 6)
  plain = plain_flax.PlainInception(1 / 6)
  images = np.zeros((1, 8, 8, 3), np.float32)
  shapes = jax.eval_shape(lambda: plain.init(jax.random.key(0), images, False))
  torch_count = sum(p.numel() for p in network.parameters())
  assert torch_count == parameter_count(shapes['params'])


def test_every_candidate_gets_the_same_turns():
  calls = []
  times = timing.side_by_side(
    {name: lambda name=name: calls.append(name) for name in 'ab'},
    rounds=2,
    calls=3,
  )
  assert calls == ['a', 'b', *('aaabbb') * 2] and set(times) == {'a', 'b'}
