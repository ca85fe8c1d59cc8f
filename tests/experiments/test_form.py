"""The form that every experiment has."""

import importlib
import itertools
import math

import pandas as pd
import pytest

import experiments
from experiments import base
from normlab import records, validation
from normlab.analysis import claims, verdicts
from normlab.commands import result_files

NAMES = list(experiments.EXPERIMENTS)
SCALES = [
  (name, scale) for name in NAMES for scale in experiments.load(name).scales
]


@pytest.fixture
def experiment(name):
  return experiments.load(name)


@pytest.mark.parametrize('name', NAMES)
def test_an_experiment_has_its_files(name, experiment, root):
  assert isinstance(experiment, base.Experiment)
  files = {p.stem for p in (root / 'experiments' / name).glob('*.py')}
  assert files == {'__init__', 'runs', 'analysis', 'claims', 'figure'}
  configs = {p.stem for p in (root / 'configs' / name).glob('*.py')}
  assert {*experiment.scales} <= configs
  module = importlib.import_module(f'experiments.{name}')
  assert '| in the figure and tables | means |' in module.__doc__


@pytest.mark.parametrize(('name', 'scale'), SCALES)
def test_runs_are_distinct_and_have_the_baseline(name, scale, experiment):
  runs = experiment.all_runs(scale) + experiment.tuning_runs(scale)
  assert len({records.run_name(run.config) for run in runs}) == len(runs)
  labels = [(run.labels['arm'], run.labels['seed']) for run in runs]
  tuning = experiment.scales[scale].tuning_seeds
  assert {(experiment.baseline, seed) for seed in tuning} < {*labels}
  assert all(run.config.seed == run.labels['seed'] for run in runs)


@pytest.mark.parametrize('name', NAMES)
def test_seeds_of_target_tuning_and_arms_are_disjoint(name, experiment):
  for scale, settings in experiment.scales.items():
    arms = {run.labels['seed'] for run in experiment.runs(scale)}
    parts = arms, {*settings.target_seeds}, {*settings.tuning_seeds}
    assert not any(a & b for a, b in itertools.combinations(parts, 2))
    assert len(settings.target_seeds) >= 3 and len(arms) >= 3
    # By which the rows of the target are told from those of the arms.
    assert min(settings.target_seeds) >= base.FIRST_OTHER_SEED > max(arms)
  digits, again = (
    experiment.scales[scale] for scale in ('digits', 'digits_again')
  )
  for part in ('seeds', 'fewer_seeds', 'target_seeds'):
    assert not {*getattr(digits, part)} & {*getattr(again, part)}
    assert len(getattr(digits, part)) == len(getattr(again, part))


@pytest.mark.parametrize('name', NAMES)
def test_the_tuned_rate_is_of_a_grid_with_factors_of_at_most_two(
  name, experiment, root
):
  for scale, own in experiment.scales.items():
    tuned_at = own.tuned_at or scale
    settings = experiment.scales[tuned_at]
    assert settings.tuned_at is None
    factors = [b / a for a, b in itertools.pairwise(settings.rates)]
    assert factors and all(1 < factor <= 2 + 1e-9 for factor in factors)
    rate = own.config().optimizer.learning_rate
    assert rate in settings.rates[1:-1]
    runs = experiment.tuning_runs(tuned_at)
    assert {run.labels['arm'] for run in runs} == {experiment.baseline}
    assert {
      (run.config.optimizer.learning_rate, run.config.seed) for run in runs
    } == {*itertools.product(settings.rates, settings.tuning_seeds)}
    tuning = result_files.read_tuning([root / 'results' / name], tuned_at)
    if tuning is not None:
      assert tuning.groupby('rate')['accuracy'].mean().idxmax() == rate


@pytest.mark.parametrize(('name', 'scale'), SCALES)
def test_claims_compare_arms_of_the_runs(name, scale, experiment):
  seeds = {}
  for run in experiment.runs(scale):
    seeds.setdefault(run.labels['arm'], set()).add(run.labels['seed'])
  numbers = [claim.number for claim in experiment.claims]
  assert len(set(numbers)) == len(numbers)
  for claim in experiment.claims:
    assert claim.text[0].islower() and not claim.text.endswith('.')
    assert claim.source
    for part in claim.comparisons:
      assert part.measure in claims.MEASURES and part.relation in ('<', '>')
      n = len(seeds[part.arm])
      if part.measure == claims.SHARE:
        assert part.against is None
      else:
        assert verdicts.dropped(n, len(seeds[part.against])) is not None


@pytest.mark.parametrize(('name', 'scale'), SCALES)
def test_every_config_can_be_trained(name, scale, experiment, request):
  # One of each arm: a check takes a while.
  arms = {run.labels['arm']: run.config for run in experiment.runs(scale)}
  for config in arms.values():
    if not config.data.name.startswith('digits'):
      config.data.data_dir = request.getfixturevalue('shared_data')
    validation.check(config)


@pytest.mark.parametrize('name', NAMES)
def test_arms_differ_in_the_fields_of_the_question_alone(name, experiment):
  flat = [records.flatten(run.config) for run in experiment.all_runs('digits')]
  differing = {key for key in flat[0] for f in flat if f[key] != flat[0][key]}
  assert {key for key in differing if not key.startswith('norm.')} <= {
    'label',
    'seed',
    'model.activation',
    'optimizer.learning_rate_multiplier',
  }


def evaluations(arm, seed, *accuracies):
  return [
    {
      'arm': arm,
      'seed': seed,
      'rate': 0.1 * (seed % 2 + 1),
      'step': 10 * step,
      'accuracy': accuracy,
      'loss': 1.0,
      'diverged_at': math.nan,
    }
    for step, accuracy in enumerate(accuracies, start=1)
  ]


@pytest.fixture
def small():
  """An experiment of which only what is pure is used."""
  return base.Experiment(
    scales={},
    baseline='A',
    claims=(
      claims.Claim(
        1,
        'sooner',
        'a paper',
        (claims.Comparison('ratio', 'steps_to_match', 'B', '<', 1.0, 'A'),),
      ),
    ),
    config_of=None,
    runs=None,
    present=None,
    plot=None,
  )


def test_the_target_is_where_the_baseline_ends_on_seeds_of_its_own(small):
  rows = evaluations('A', 0, 0.9, 0.9, 0.9) + evaluations('B', 0, 0.9, 0.9)
  rows += evaluations('A', 100, 0.9, 0.2, 0.3, 0.4)
  rows += evaluations('A', 101, 0.5, 0.5, 0.5, 0.5)
  table = pd.DataFrame(rows)
  assert small.target(table) == pytest.approx(0.4)
  assert {*small.arms(table)['seed']} == {0}
  outcomes = small.outcomes(table)
  assert list(outcomes.index) == [('A', 0), ('B', 0)]
  assert outcomes['steps_to_match'].tolist() == [10, 10]
  assert outcomes['trains'].tolist() == [True, True]
  at = small.outcomes(table, 0.95)
  assert at['steps_to_match'].tolist() == [math.inf] * 2


def test_an_arm_trains_if_it_ends_above_twice_the_accuracy_of_guessing(small):
  rows = evaluations('A', 0, 0.9, 0.2, 0.2, 0.1) + evaluations('A', 100, 0.5)
  rows += evaluations('B', 0, 0.1, 0.1, 0.3, 0.3)
  assert small.outcomes(pd.DataFrame(rows))['trains'].tolist() == [False, True]


def test_verdicts_know_times_up_to_the_evaluation_grid(small):
  rows = [
    row
    for seed in (0, 1, 2)
    for arm, curve in (('A', (0.1, 0.6, 0.6)), ('B', (0.6, 0.6, 0.6)))
    for row in evaluations(arm, seed, *curve)
  ]
  table = pd.DataFrame(rows + evaluations('A', 100, 0.5))
  judged = small.judge(table)
  # 10 steps, or less, against 20, or down to 10.
  assert judged.loc[0, ['estimate', 'low', 'high']].tolist() == [0.5, 0, 1]
  strip = small.strip(table, [0.5, 0.9])
  assert strip.index.tolist() == [0.5, 0.9]


def test_tuning_is_the_accuracy_at_the_end_by_rate_and_seed(small):
  rows = evaluations('A', 103, 0.9, 0.3, 0.3, 0.3)
  rows += evaluations('A', 104, 0.1, 0.4, 0.4, 0.4)
  found = small.tuned(pd.DataFrame(rows))
  assert list(found.columns) == ['rate', 'seed', 'accuracy']
  assert found['accuracy'].tolist() == pytest.approx([0.4, 0.3])
