"""Own networks use norms as ours do, or a line says what they do instead."""

import pytest
from config_cases import changed, problems

from normlab import validation

EVONORM = {'norm.name': 'evonorm_s0', 'norm.num_groups': 4}


def config(name, **fields):
  fields = {'norm.name': 'layer', **fields}
  return changed({'model.name': f'own_networks:{name}', **fields})


def notes(*arguments, **fields):
  return validation.notes([validation.check(config(*arguments, **fields))])


@pytest.mark.parametrize(
  'norm', ['none', 'batch', 'layer', 'instance', 'batch_renorm']
)
@pytest.mark.parametrize('name', ['Helped', 'Twice', 'TwiceInside', 'made'])
def test_networks_without_a_mistake_pass(name, norm):
  assert problems(config(name, **{'norm.name': norm})) == []
  assert notes(name, **{'norm.name': norm}) == []


@pytest.mark.parametrize(
  'name, said',
  [
    ('WithoutMode', "its norm 'norm' is called without use_running_average"),
    ('WithoutNorm', "it never calls its norm, 'layer'"),
    ('WrongLogits', 'its logits are (2, 8) for 2 images; must be (2, 10)'),
    ('WithoutTrain', "unexpected keyword argument 'train'"),
    ('Plain', 'declares no norm'),
    ('made_of_nothing', 'declares no norm'),
  ],
)
def test_a_network_that_is_not_as_ours_is_a_line(name, said):
  (line,) = problems(config(name))
  assert said in line and f'own_networks:{name}' in line


def test_a_network_without_norms_goes_with_none():
  for name in ('Plain', 'WithoutNorm'):
    assert problems(config(name, **{'norm.name': 'none'})) == []
  (line,) = problems(config('Plain', **{'norm.name': 'weight'}))
  assert 'declares no kernel_norm' in line
  (line,) = problems(config('made_of_nothing', **{'norm.name': 'none'}))
  assert 'makes a int; must make a flax.linen.Module' in line


@pytest.mark.parametrize('field', ['activation', 'dropout', 'dtype'])
def test_a_field_that_a_network_does_not_declare_cannot_be_set(field):
  value = {'activation': 'tanh', 'dropout': 0.5, 'dtype': 'bfloat16'}[field]
  fields = {'norm.name': 'none', f'model.{field}': value}
  (line,) = problems(config('Plain', **fields))
  assert line.startswith(f'config.model.{field}=') and 'no such field' in line


@pytest.mark.parametrize('name', ['Twice', 'TwiceInside'])
def test_a_second_activation_is_noted(name):
  (line,) = notes(name, **EVONORM)
  assert 'behind 1 of its 1 norms' in line and "'evonorm_s0'" in line
  assert notes('Helped', **EVONORM) == []
  frn = {'norm.name': 'filter_response'}
  assert len(notes(name, **frn)) == 1
  assert notes(name, **frn, **{'norm.use_tlu': False}) == []


def test_ours_have_one_activation():
  assert validation.notes([validation.check(changed(EVONORM))]) == []


@pytest.mark.parametrize(
  'model, fields, noted',
  [
    ('mlp', {'batch_size': 1}, True),
    ('mlp', {'batch_size': 8, 'microbatches': 8}, True),
    ('mlp', {'batch_size': 8, 'norm.ghost_batch_size': 1}, True),
    ('mlp', {'batch_size': 2}, False),
    ('mlp', {'batch_size': 1, 'norm.name': 'layer'}, False),
    # Images have a space to average over.
    ('cnn', {'batch_size': 1}, False),
  ],
)
def test_a_batch_of_one_without_space_is_noted(model, fields, noted):
  config = changed({'model.name': model, 'norm.name': 'batch', **fields})
  found = validation.notes([validation.check(config)] * 2)
  assert len(found) == noted
  assert all('nothing to average over' in line for line in found)
