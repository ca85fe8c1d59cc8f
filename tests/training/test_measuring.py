"""Probes in the loop: when they measure, and that they change nothing."""

import numpy as np
import pytest
import stopped_runs

from normlab import errors, records, validation
from normlab.runtime.interruption import Interrupted
from normlab.training import evaluation, loop

PROBES = ('outputs', 'covariate_shift', 'landscape', 'affine')


def config(names=PROBES, **fields):
  return stopped_runs.config(
    **{
      'total_steps': 12,
      'eval_every': 5,
      'log_every': 2,
      'model.dropout': 0.3,
      'data.random_crop': 1,
      'probes.names': names,
      'probes.every': names and 4,
    }
    | fields
  )


def train(folder, config):
  return loop.train(config, str(folder))


@pytest.mark.parametrize('steps_per_call', [1, 4])
@pytest.mark.parametrize('microbatches', [1, 2])
def test_training_has_the_same_bits_with_and_without_probes(
  steps_per_call, microbatches, tmp_path
):
  fields = {'steps_per_call': steps_per_call, 'microbatches': microbatches}
  train(tmp_path / 'with', config(**fields))
  train(tmp_path / 'without', config(None, **fields))
  ours, theirs = (
    stopped_runs.metrics(tmp_path / n) for n in ('with', 'without')
  )
  assert ours == theirs
  tensors = [
    stopped_runs.final_tensors(tmp_path / name, config(names, **fields))
    for name, names in (('with', PROBES), ('without', None))
  ]
  for name, value in tensors[0].items():
    np.testing.assert_array_equal(value, tensors[1][name])


def test_probes_measure_before_the_first_step_and_at_their_period(tmp_path):
  record = train(tmp_path, config())
  for name in PROBES:
    assert record.probe(name)['step'].tolist() == [0, 4, 8, 12]


def test_a_run_that_is_stopped_in_an_evaluation_measures_that_step_again(
  tmp_path, monkeypatch
):
  """The state is saved before the evaluation; both are made when it resumes."""
  settings = config(**{'eval_every': 4})
  train(tmp_path / 'whole', settings)
  with monkeypatch.context() as patch:

    def stopped(self, batches):
      raise evaluation.Stopped

    patch.setattr(evaluation.Stoppable, '_until_stopped', stopped)
    with pytest.raises(Interrupted):
      train(tmp_path / 'cut', settings)
  train(tmp_path / 'cut', settings)
  for name in PROBES:
    ours, theirs = (
      records.Record(tmp_path / folder).probe(name)
      for folder in ('cut', 'whole')
    )
    for key, values in theirs.items():
      np.testing.assert_array_equal(ours[key], values)


@pytest.mark.parametrize(
  ('fields', 'problem'),
  [
    ({'probes.names': ('output',)}, "unknown probe 'output'; did you mean"),
    ({'probes.names': ('renorm',)}, "probe 'renorm': "),
    (
      {'probes.names': None},
      'config.probes.every=4 is not allowed: config.probes.names chooses no '
      'probe; must be None',
    ),
    (
      {'probes.step_lengths': (1.0,), 'probes.names': ('affine',)},
      'config.probes.step_lengths=(1.0,) is not allowed: config.probes.names '
      "lacks 'landscape', which reads it; must be None",
    ),
    (
      {'probes.layers': ('layer9',)},
      "config.probes.layers: unknown layer 'layer9'; did you mean 'layer1'?",
    ),
    (
      {'probes.every': 3, 'steps_per_call': 4},
      'must be a multiple of 2, config.log_every',
    ),
  ],
)
def test_what_cannot_be_measured_is_refused_in_a_line(fields, problem):
  with pytest.raises(errors.ConfigError) as error:
    validation.check(config(**fields))
  assert problem in str(error.value)
  assert '\n' not in str(error.value)
