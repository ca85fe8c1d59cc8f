"""The form that every experiment has."""

import dataclasses
import importlib
import itertools
import math

import pandas as pd
import pytest

import experiments
from configs.base import get_config
from experiments import base
from normlab import records, validation
from normlab.analysis import claims, verdicts
from normlab.commands import reproduce, result_files
from normlab.data.sets import sources

NAMES = list(experiments.EXPERIMENTS)
SCALES = [
  (name, scale) for name in NAMES for scale in experiments.load(name).scales
]
TRAINED = [
  (name, scale)
  for name, scale in SCALES
  if experiments.load(name).compute is None
]


@pytest.fixture
def experiment(name):
  return experiments.load(name)


@pytest.mark.parametrize('name', NAMES)
def test_an_experiment_has_its_files(name, experiment, root):
  assert isinstance(experiment, base.Experiment)
  files = {p.stem for p in (root / 'experiments' / name).glob('*.py')}
  assert files >= {'__init__', 'analysis', 'claims', 'figure'}
  module = importlib.import_module(f'experiments.{name}')
  assert '| in the figure and tables | means |' in module.__doc__
  if experiment.compute is None:
    configs = {p.stem for p in (root / 'configs' / name).glob('*.py')}
    assert 'runs' in files and {*experiment.scales} <= configs


@pytest.mark.parametrize(('name', 'scale'), SCALES)
def test_a_scale_is_trained_or_computed(name, scale, experiment):
  is_computed = experiment.compute is not None
  assert is_computed != bool(experiment.all_runs(scale))
  assert not (is_computed and experiment.measure)


@pytest.mark.parametrize(('name', 'scale'), TRAINED)
def test_runs_are_distinct_and_have_the_baseline(name, scale, experiment):
  runs = experiment.all_runs(scale) + experiment.tuning_runs(scale)
  assert len({records.run_name(run.config) for run in runs}) == len(runs)
  labels = {(run.labels['arm'], run.labels['seed']) for run in runs}
  own = experiment.scales[scale]
  tuned = experiment.tuned_arms or [experiment.baseline]
  if own.rates:
    assert {*itertools.product(tuned, own.tuning_seeds)} < labels
  if experiment.baseline:
    assert (experiment.baseline, own.seeds[0]) in labels
  assert all(run.config.seed == run.labels['seed'] for run in runs)


@pytest.mark.parametrize(('name', 'scale'), TRAINED)
def test_seeds_of_target_tuning_and_arms_are_disjoint(name, scale, experiment):
  settings = experiment.scales[scale]
  arms = {run.labels['seed'] for run in experiment.runs(scale)}
  target = settings.target_seeds if experiment.baseline else ()
  parts = arms, {*target}, {*settings.tuning_seeds}
  assert not any(a & b for a, b in itertools.combinations(parts, 2))
  assert len(arms) >= 3 and len(target) in (0, *range(3, 10))
  # By which the rows of the target are told from those of the arms.
  assert min((*target, base.FIRST_OTHER_SEED)) > max(arms)
  assert min(target, default=100) >= base.FIRST_OTHER_SEED


@pytest.mark.parametrize('name', NAMES)
def test_a_scale_that_is_run_again_has_other_seeds(name, experiment):
  again = experiment.scales.get('digits_again')
  if again is None:
    return
  digits = experiment.scales['digits']
  for part in ('seeds', 'fewer_seeds', 'target_seeds'):
    assert not {*getattr(digits, part)} & {*getattr(again, part)}
    assert len(getattr(digits, part)) == len(getattr(again, part))


@pytest.mark.parametrize(('name', 'scale'), TRAINED)
def test_the_tuned_rate_is_of_a_grid_with_factors_of_at_most_two(
  name, scale, experiment, root
):
  tuned_at = experiment.scales[scale].tuned_at or scale
  settings = experiment.scales[tuned_at]
  assert settings.tuned_at is None
  if not settings.rates:
    assert not experiment.tuning_runs(scale)
    return
  factors = [b / a for a, b in itertools.pairwise(settings.rates)]
  assert factors and all(1 < factor <= 2 + 1e-9 for factor in factors)
  arms = experiment.tuned_arms or [experiment.baseline]
  for arm in arms:
    config = experiment.config_of(scale, arm, 0)
    assert config.optimizer.learning_rate in settings.rates[1:-1]
  runs = experiment.tuning_runs(tuned_at)
  assert {
    (run.labels['arm'], run.config.optimizer.learning_rate, run.config.seed)
    for run in runs
  } == {*itertools.product(arms, settings.rates, settings.tuning_seeds)}
  tuning = result_files.read_tuning(
    [root / 'results' / name], tuned_at, by=experiment.tuned_by
  )
  before = [rate_of(run) for run in experiment.runs(scale)]
  tuned = reproduce.with_rate(experiment, experiment.runs(scale), tuning)
  assert before == [rate_of(run) for run in tuned]


def rate_of(run):
  return run.config.optimizer.learning_rate


@pytest.mark.parametrize(('name', 'scale'), SCALES)
def test_committed_curves_give_the_committed_verdicts(
  name, scale, experiment, root
):
  folder = root / 'results' / name
  if not (folder / f'{scale}.json').exists():
    pytest.skip('no results yet')
  runs = experiment.all_runs(scale)
  table, _ = result_files.read_curves([folder], scale, runs)
  verdicts = result_files.read_verdicts(folder.parent)[name, scale]
  assert experiment.judge(table)['part'].tolist() == verdicts['part'].tolist()


@pytest.mark.parametrize(('name', 'scale'), SCALES)
def test_claims_compare_arms_of_the_runs(name, scale, experiment):
  seeds = {}
  for run in experiment.runs(scale):
    seeds.setdefault(run.labels['arm'], set()).add(run.labels['seed'])
  assert experiment.claims
  numbers = [claim.number for claim in experiment.claims]
  assert len(set(numbers)) == len(numbers)
  for claim in experiment.claims:
    assert claim.text[0].islower() and not claim.text.endswith('.')
    assert claim.source
    for part in claim.comparisons:
      assert part.measure in claims.MEASURES and part.relation in ('<', '>')
      assert (part.against is None) == (part.measure == claims.SHARE)
      if experiment.compute:
        continue  # Its arms are in the table that it computes.
      n = len(seeds[part.arm])
      if part.against is not None:
        assert verdicts.dropped(n, len(seeds[part.against])) is not None


@pytest.mark.parametrize(('name', 'scale'), TRAINED)
def test_every_config_can_be_trained(name, scale, experiment, request):
  # One of each arm: a check takes a while.
  arms = {run.labels['arm']: run.config for run in experiment.runs(scale)}
  for config in arms.values():
    if config.data.name not in sources.EMBEDDED:
      config.data.data_dir = request.getfixturevalue('shared_data')
    validation.check(config)


# Fields in which arms differ, beside those of the norm and what follows.
ARM_FIELDS = {'label', 'seed', 'optimizer.learning_rate_multiplier'}
QUESTIONS = {
  'speedup': {'model.activation'},
  # The best rate, and the length, follow from the features.
  'valley': {
    'data.name',
    'model.widths',
    'optimizer.learning_rate',
    'total_steps',
    'eval_every',
  },
  # Two networks, each with data of its own; pairs differ in the norm alone.
  'covariate_shift': {
    *('data.name', 'batch_size', 'total_steps', 'steps_per_call'),
    *('eval_every', 'eval_batch_size', 'log_every', 'probes.every'),
    *('model.name', 'model.widths', 'model.activation'),
  },
}


@pytest.mark.parametrize(('name', 'scale'), TRAINED)
def test_arms_differ_in_the_fields_of_the_question_alone(
  name, scale, experiment
):
  flat = [records.flatten(run.config) for run in experiment.all_runs(scale)]
  differing = {key for key in flat[0] for f in flat if f[key] != flat[0][key]}
  allowed = ARM_FIELDS | QUESTIONS.get(name, set())
  if experiment.tuned_arms:
    allowed |= {'optimizer.learning_rate'}
  assert {key for key in differing if not key.startswith('norm.')} <= allowed


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


def test_arms_that_are_tuned_each_have_a_tuning_each(small):
  rows = evaluations('A', 103, 0.5) + evaluations('B', 103, 0.7)
  both = dataclasses.replace(small, tuned_arms=('B', 'A'))
  found = both.tuned(pd.DataFrame(rows))
  # In the order of the arms.
  assert found[['arm', 'seed', 'accuracy']].to_numpy().tolist() == [
    ['B', 103, 0.7],
    ['A', 103, 0.5],
  ]


def test_tuning_by_another_column_takes_the_rows_that_have_it(small):
  other = dataclasses.replace(small, tuned_by='train_accuracy')
  table = pd.DataFrame(evaluations('A', 103, 0.9, 0.9, 0.9, 0.9, 0.9))
  table['train_accuracy'] = [0.1, 0.2, 0.3, 0.4, math.nan]
  assert other.tuned(table)['train_accuracy'].tolist() == [pytest.approx(0.3)]


def test_every_tuned_arm_is_tuned_without_probes(small):
  def config_of(scale, arm, seed):
    config = get_config()
    config.label = f'{scale}-{arm}'
    return config

  scales = {'tiny': base.Scale(rates=(0.1, 0.2), tuning_seeds=(103,))}
  experiment = dataclasses.replace(
    small, scales=scales, config_of=config_of, tuned_arms=('A', 'B')
  )
  runs = experiment.tuning_runs('tiny')
  assert [(*run.labels.values(), rate_of(run)) for run in runs] == [
    (arm, 103, rate, rate) for arm in ('A', 'B') for rate in (0.1, 0.2)
  ]
  alone = dataclasses.replace(experiment, tuned_arms=())
  assert {run.labels['arm'] for run in alone.tuning_runs('tiny')} == {'A'}
  assert not dataclasses.replace(alone, baseline=None).tuning_runs('tiny')


def test_further_outcomes_stand_beside_the_others_and_are_judged(small):
  rows = [
    row
    for seed in (0, 1, 2)
    for arm in ('A', 'B')
    for row in evaluations(arm, seed, 0.5, 0.6)
  ]
  table = pd.DataFrame(rows)
  # Measured between two evaluations; every row has a number for both arms.
  between = table.assign(step=table['step'] - 5, accuracy=math.nan, loss=None)
  between['cosine'] = [0.1 + (arm == 'B') for arm in between['arm']]
  experiment = dataclasses.replace(
    small,
    claims=(
      claims.Claim(
        1,
        'larger',
        'a paper',
        (claims.Comparison('difference', 'cosine', 'B', '>', 0.5, 'A'),),
      ),
    ),
    further_outcomes=lambda run: {'cosine': run['cosine'].mean()},
  )
  both = pd.concat([table, between])
  found = experiment.outcomes(both)
  assert found.drop(columns='cosine').equals(small.outcomes(table))
  assert 'steps_to_match' not in found and small.target(both) is None
  assert experiment.judge(both)['estimate'].tolist() == [pytest.approx(1.0)]


def test_a_computed_experiment_has_the_outcomes_that_it_names(small):
  table = pd.DataFrame(
    {
      'arm': ['A', 'A', 'B', 'B'],
      'seed': [0, 1, 0, 1],
      'kappa': [10.0, 11.0, 1.0, 2.0],
    }
  )
  part = claims.Comparison('share', 'is_bowl', 'B', '>', 0.1)
  experiment = dataclasses.replace(
    small,
    scales={'digits': base.Scale()},
    baseline=None,
    compute=lambda scale: table,
    claims=(claims.Claim(1, 'a bowl', 'a paper', (part,)),),
    further_outcomes=lambda run: {'is_bowl': bool((run['kappa'] < 5).all())},
  )
  found = experiment.outcomes(experiment.compute('digits'))
  assert list(found) == ['is_bowl'] and found['is_bowl'].sum() == 2
  assert experiment.judge(table)['estimate'].tolist() == [1.0]
  assert not experiment.all_runs('digits')
  assert not experiment.tuning_runs('digits')
