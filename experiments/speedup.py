"""How many training steps does BatchNorm save Inception?

Figure 2 and the table of Figure 3 of Ioffe & Szegedy 2015 (arXiv:1502.03167):
five networks, and two controls that the text mentions. RUNS are data, `analyze`
and `judge` are pure functions of a table, `plot` draws what they return.
"""

import json
import math
import pathlib
import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

import ml_collections
import pandas as pd
from matplotlib.figure import Figure

from configs import cifar10_cpu_speedup, cifar10_speedup, digits_speedup
from normlab import curves, plotting


class Network(NamedTuple):
  """A network of the figure, as changes to the scale's baseline.

  Attributes:
    norm: name of the norm.
    activation: name of the activation.
    multiplier: of the learning rate.
    accelerated: with the changes of section 4.2.1 that apply here: no dropout,
      a fifth of the weight decay, and a decay of the rate six times as fast.
    paper_steps: 10^6 steps to 72.2% in the paper's table; None: never, or not
      in the table.
    paper_accuracy: best validation accuracy there, in percent.
  """

  norm: str
  activation: str
  multiplier: float
  accelerated: bool
  paper_steps: float | None = None
  paper_accuracy: float | None = None


BASELINE = 'Inception'
NETWORKS: dict[str, Network] = {
  BASELINE: Network('none', 'relu', 1, False, 31.0, 72.2),
  'BN-Baseline': Network('batch', 'relu', 1, False, 13.3, 72.7),
  'BN-x5': Network('batch', 'relu', 5, True, 2.1, 73.0),
  'BN-x30': Network('batch', 'relu', 30, True, 2.7, 74.8),
  'BN-x5-Sigmoid': Network('batch', 'sigmoid', 5, True, None, 69.8),
  'Inception-x5': Network('none', 'relu', 5, False),
  'Inception-Sigmoid': Network('none', 'sigmoid', 1, False),
}
SEEDS = (0, 1, 2)
SCALES: dict[str, Callable[[], ml_collections.ConfigDict]] = {
  'digits': digits_speedup.get_config,
  'cifar10_cpu': cifar10_cpu_speedup.get_config,
  'cifar10': cifar10_speedup.get_config,
}
CHANCE = 0.1
REFERENCE = pathlib.Path(__file__).with_name('published_curves.json')


class Run(NamedTuple):
  """One run: what identifies it in the table, and its config."""

  labels: dict[str, Any]
  config: ml_collections.ConfigDict


def runs(scale: str) -> list[Run]:
  """All runs of a scale; one seed of every network before the next seed."""
  return [
    Run({'network': name, 'seed': seed}, network_config(scale, name, seed))
    for seed in SEEDS
    for name in NETWORKS
  ]


def network_config(
  scale: str, name: str, seed: int
) -> ml_collections.ConfigDict:
  """The config of one network: the scale's baseline, and its changes."""
  network, config = NETWORKS[name], SCALES[scale]()
  config.label = f'{config.label}-{name}-seed{seed}'
  config.seed = seed
  config.norm.name = network.norm
  config.model.activation = network.activation
  config.optimizer.learning_rate_multiplier = float(network.multiplier)
  if network.norm == 'batch':
    # Flax's default, 0.99, is too slow for runs of a thousand steps.
    config.norm.momentum = 0.9
  if network.accelerated:
    config.model.dropout = 0.0
    config.optimizer.weight_decay /= 5
    config.schedule.decay_steps //= 6
  return config


def target_of(table: pd.DataFrame) -> tuple[float, int]:
  """The accuracy to match, and the baseline's steps to it.

  That is the best accuracy of the baseline's mean curve, and the first step at
  which that curve has it.
  """
  return curves.best_of_mean(table[table['network'] == BASELINE])


def outcomes(table: pd.DataFrame) -> pd.DataFrame:
  """What came of each run.

  Args:
    table: one row an evaluation, from `tables.evaluations`.

  Returns:
    One row a network and seed (the index): 'steps_to_match', infinite where it
    never does; 'speed_up' over the baseline, then 0; 'best_accuracy', NaN where
    none was measured; 'diverged_at', NaN where it did not.
  """
  target, baseline_steps = target_of(table)
  runs = table.groupby(['network', 'seed'])
  result = pd.DataFrame(
    {
      'steps_to_match': {
        key: curves.steps_to_match(run, target) for key, run in runs
      },
      'best_accuracy': runs['accuracy'].max(),
      'diverged_at': runs['diverged_at'].first(),
    }
  )
  result['speed_up'] = baseline_steps / result['steps_to_match']
  return result.rename_axis(['network', 'seed'])


def analyze(table: pd.DataFrame) -> pd.DataFrame:
  """One row a network: mean, least and most over seeds, and the paper's row.

  Steps and speed-ups are those of the seeds that match, counted in
  'seeds_matched'.

  Args:
    table: one row an evaluation, from `tables.evaluations`.
  """
  by_seed = outcomes(table)
  matched = by_seed.where(by_seed['steps_to_match'] < math.inf)
  columns = {
    'seeds': by_seed.groupby('network').size(),
    'seeds_matched': matched['steps_to_match'].groupby('network').count(),
    'seeds_diverged': by_seed['diverged_at'].groupby('network').count(),
  }
  for name, source in (
    ('steps_to_match', matched),
    ('speed_up', matched),
    ('best_accuracy', by_seed),
  ):
    for kind in ('mean', 'min', 'max'):
      columns[f'{name}_{kind}'] = source[name].groupby('network').agg(kind)
  result = pd.DataFrame(columns).reindex(NETWORKS)
  paper = pd.DataFrame(NETWORKS.values(), index=list(NETWORKS))
  result['paper_steps'] = paper['paper_steps'] * 1e6
  result['paper_speed_up'] = 31.0 / paper['paper_steps'].astype(float)
  result['paper_best_accuracy'] = paper['paper_accuracy'] / 100
  return result.rename_axis('network').reset_index()


def present(table: pd.DataFrame) -> pd.DataFrame:
  """The outcomes as text, the paper's columns beside ours."""
  by_seed = outcomes(table)
  rows = []
  for name, network in NETWORKS.items():
    own = by_seed.loc[name]
    steps = own['steps_to_match']
    diverged = sorted(own['diverged_at'].dropna().astype(int))
    matched = baseline_ratio = '–'
    if network.paper_accuracy and not network.paper_steps:
      matched = 'never'
    if network.paper_steps:
      matched = f'{network.paper_steps:.1f}M'
      ratio = NETWORKS[BASELINE].paper_steps / network.paper_steps
      baseline_ratio = f'{ratio:.1f}'
    rows.append(
      {
        'network': name,
        'steps to match': curves.spread(steps),
        'speed-up': curves.spread(own['speed_up'], '{:.1f}', steps < math.inf),
        'best accuracy': curves.spread(own['best_accuracy'], '{:.1%}'),
        'diverged at step': ', '.join(map(str, diverged)) or '–',
        'paper: steps': matched,
        'paper: speed-up': baseline_ratio,
        'paper: best': f'{network.paper_accuracy:.1f}%'
        if network.paper_accuracy
        else '–',
      }
    )
  return pd.DataFrame(rows)


def judge(table: pd.DataFrame) -> pd.DataFrame:
  """The verdict on claims 1 to 5, from the records alone.

  A claim holds if every seed says so, and does not hold here if none does.

  Args:
    table: one row an evaluation, from `tables.evaluations`.

  Returns:
    One row a claim: 'claim', its number; 'text'; 'measured' here; 'paper', what
    it printed; 'verdict'.
  """
  claims = [
    fewer_than_half_the_steps(table),
    five_times_is_sooner(table),
    thirty_times_ends_higher(table),
    sigmoid_needs_a_norm(table),
    larger_rates_need_a_norm(table),
  ]
  columns = ['text', 'measured', 'paper', 'verdict']
  result = pd.DataFrame(claims, columns=columns)
  result.insert(0, 'claim', range(1, len(claims) + 1))
  return result


Claim = tuple[str, str, str, str]


def fewer_than_half_the_steps(table: pd.DataFrame) -> Claim:
  """Claim 1: compares each seed with half the baseline's steps."""
  _, baseline_steps = target_of(table)
  steps = outcomes(table).loc['BN-Baseline', 'steps_to_match']
  return (
    "BatchNorm reaches the un-normalized network's best accuracy in fewer than "
    'half the steps',
    f'{curves.spread(steps)} steps against {baseline_steps}',
    '13.3 against 31.0 million steps',
    curves.verdict(steps < baseline_steps / 2),
  )


def five_times_is_sooner(table: pd.DataFrame) -> Claim:
  """Claim 2: compares each seed of x5 with the same seed of x1."""
  steps = outcomes(table)['steps_to_match']
  slow, fast = steps['BN-Baseline'], steps['BN-x5']
  return (
    'five times the learning rate reaches it sooner still',
    f'{curves.spread(fast)} steps against {curves.spread(slow)}',
    '2.1 against 13.3 million steps',
    curves.verdict(fast < slow),
  )


def thirty_times_ends_higher(table: pd.DataFrame) -> Claim:
  """Claim 3: later to match, and a higher best accuracy, seed by seed."""
  by_seed = outcomes(table)
  x5, x30 = by_seed.loc['BN-x5'], by_seed.loc['BN-x30']
  later = x30['steps_to_match'] > x5['steps_to_match']
  higher = x30['best_accuracy'] > x5['best_accuracy']
  steps = [curves.spread(run['steps_to_match']) for run in (x30, x5)]
  best = [curves.spread(run['best_accuracy'], '{:.1%}') for run in (x30, x5)]
  networks = [table[table['network'] == name] for name in ('BN-x30', 'BN-x5')]
  crossing = curves.last_crossing(*map(curves.mean_curve, networks))
  where = 'no last crossing' if crossing is None else f'crossing at {crossing}'
  return (
    'thirty times is slower than five times at first, and ends higher',
    f'{steps[0]} steps against {steps[1]}; best {best[0]} against {best[1]}; '
    f'{where}',
    '2.7 against 2.1 million steps; 74.8% against 73.0%',
    curves.verdict(later & higher),
  )


def sigmoid_needs_a_norm(table: pd.DataFrame) -> Claim:
  """Claim 4: above, and not above, twice the accuracy of guessing."""
  best = outcomes(table)['best_accuracy'].fillna(0)
  with_norm, without = best['BN-x5-Sigmoid'], best['Inception-Sigmoid']
  trains = (with_norm > 2 * CHANCE) & (without <= 2 * CHANCE)
  return (
    'a sigmoid network trains with BatchNorm, and not at all without',
    f'best {curves.spread(with_norm, "{:.1%}")} with, '
    f'{curves.spread(without, "{:.1%}")} without; chance is {CHANCE:.0%}',
    '69.8% with; never above chance without',
    curves.verdict(trains),
  )


def larger_rates_need_a_norm(table: pd.DataFrame) -> Claim:
  """Claim 5: diverges, or stays a point below the baseline's best."""
  target, _ = target_of(table)
  own = outcomes(table).loc['Inception-x5']
  diverged = own['diverged_at'].notna()
  badly = own['best_accuracy'].fillna(0) < target - 0.01
  return (
    'without BatchNorm the larger learning rates diverge or train badly',
    f'x5 without a norm: best {curves.spread(own["best_accuracy"], "{:.1%}")} '
    f'against {target:.1%} at x1; {diverged.sum()} of {len(own)} seeds '
    'diverged',
    'x5: the parameters reached machine infinity',
    curves.verdict(diverged | badly),
  )


def caption(scale: str) -> str:
  """What was run, and what differs from the paper."""
  config = SCALES[scale]()
  fast = network_config(scale, 'BN-x5', 0)
  return (
    f'Ours: {config.data.name}, the small Inception of arXiv:1611.03530 at '
    f'width {config.model.width:.3g}, batch {config.batch_size}, '
    f'{config.total_steps:,} steps, {len(SEEDS)} seeds (line: mean, band: '
    f'range, diamonds: steps to match the mean curve of {BASELINE}, crosses: '
    f'divergence); SGD with momentum 0.9, learning rate '
    f'{config.optimizer.learning_rate:g} times the multiplier, decaying by '
    f'{config.schedule.decay_rate:g} every {config.schedule.decay_steps:,} '
    f'steps; x5 and x30: every {fast.schedule.decay_steps:,} steps, no dropout '
    f'instead of {config.model.dropout:g}, weight decay '
    f'{fast.optimizer.weight_decay:g} instead of '
    f'{config.optimizer.weight_decay:g}. Paper (1502.03167, Fig. 2): ImageNet, '
    'BN-Inception with 13.6 million parameters, batch 32, asynchronous SGD '
    'over 31 million steps, learning rate 0.0015 times the multiplier; it also '
    'removes local response normalization, shuffles better and distorts '
    'photographs less, none of which exists here.'
  )


def plot(table: pd.DataFrame, scale: str) -> Figure:
  """Our curves beside the paper's, with the diamonds of its figure."""
  figure, (ours, paper) = plotting.panels(2)
  target, _ = target_of(table)
  by_seed = outcomes(table)
  for name, network in NETWORKS.items():
    style = plotting.style(network.norm, network.multiplier, network.activation)
    own = table[table['network'] == name]
    plotting.band(ours, own, label=name, **style)
    steps = by_seed.loc[name, 'steps_to_match']
    if (steps < math.inf).any():
      mean = steps[steps < math.inf].mean()
      plotting.diamond(ours, mean, target, style['color'])
    plotting.crosses(ours, by_seed.loc[name, 'diverged_at'], style)
  plotting.accuracy_axis(ours, table['accuracy'].max())
  ours.axhline(target, color='0.6', linewidth=0.8, zorder=0)
  ours.set(
    xlabel='training steps',
    ylabel='validation accuracy',
    title=f'{SCALES[scale]().data.name}, this code',
  )
  draw_paper(paper)
  plotting.legend_outside(figure, ours)
  plotting.add_caption(figure, textwrap.fill(caption(scale), 150))
  return figure


def draw_paper(axes: Any) -> None:
  """The digitised curves of the paper's Figure 2."""
  published = json.loads(REFERENCE.read_text(encoding='utf-8'))
  for name, points in published[
    'ioffe2015_fig2_val_acc_vs_million_steps'
  ].items():
    network = NETWORKS[name]
    style = plotting.style(network.norm, network.multiplier, network.activation)
    axes.plot(*zip(*points, strict=True), **style)
    if network.paper_steps:
      plotting.diamond(axes, network.paper_steps, 0.722, style['color'])
  axes.axhline(0.722, color='0.6', linewidth=0.8, zorder=0)
  axes.set(
    xlabel='training steps (millions)',
    ylabel='validation accuracy',
    title='ImageNet, the paper (digitised)',
    ylim=(0.4, 0.8),
    xlim=(0, 32),
  )
  plotting.percent(axes)
