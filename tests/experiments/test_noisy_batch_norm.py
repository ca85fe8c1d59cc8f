"""Noise after BatchNorm on fabricated tables with known answers."""

import math

import numpy as np
import pandas as pd
import pytest

from experiments import noisy_batch_norm
from experiments.noisy_batch_norm import analysis
from experiments.noisy_batch_norm.runs import (
  ARMS,
  BN,
  CONTROL,
  NOISY,
  SCALES,
  STANDARD,
  config_of,
)
from normlab import norms, records
from normlab.probes import distribution

EXPERIMENT = noisy_batch_norm.EXPERIMENT
HOLDS, FAILS, INCONCLUSIVE = 'holds', 'does not hold here', 'inconclusive'
NEVER = math.inf
# The step of the target, the training accuracy at the end, and the changes of
# mean and variance.
PAPER_LIKE = {
  STANDARD: (330, 0.9, 0.1, 0.1),
  BN: (160, 0.95, 0.1, 0.1),
  NOISY: (240, 0.95, 0.3, 0.2),
  CONTROL: (NEVER, 0.1, 0.3, 0.2),
}


def fabricate(changes=None, diverged=()):
  rows = []
  for run in EXPERIMENT.all_runs('digits'):
    arm = run.labels['arm']
    reached, end, mean, variance = (PAPER_LIKE | (changes or {}))[arm]
    for step in range(0, 510, 10):
      moved = step % 20 == 0 and step > 0
      rows.append(
        {
          **run.labels,
          'step': step,
          'accuracy': end if step and step % 100 == 0 else math.nan,
          'loss': 1.0,
          'diverged_at': 40.0 if arm in diverged else math.nan,
          'train_accuracy': end if step >= reached else min(end, 0.3),
          'train_target': 0.8,
          **{
            f'{quantity}/layer{i}': value * i / 2 if moved else math.nan
            for quantity, value in zip(
              analysis.CHANGES, 2 * (mean, variance), strict=True
            )
            for i in (1, 3)
          },
          **{
            f'histogram/layer{i}/{low:g}': 1 / 32 if moved else math.nan
            for i in (1, 3)
            for low in analysis.EDGES[:-1]
          },
          **{
            f'unit/layer{i}/{percentile}': 0.5
            for i in (1, 3)
            for percentile in analysis.PERCENTILES
          },
        }
      )
  return pd.DataFrame(rows)


def parts(table):
  return EXPERIMENT.judge(table)['part'].tolist()


def test_a_paper_like_table_makes_the_claim_hold():
  judged = EXPERIMENT.judge(fabricate())
  assert judged['part'].tolist() == [HOLDS] * 5
  assert judged['estimate'].tolist() == pytest.approx([1.5, 240 / 330, 3, 2, 0])
  assert judged['published'].tolist()[:2] == pytest.approx([1.5, 240 / 330])


@pytest.mark.parametrize(
  ('part', 'arm', 'outcome'),
  [
    (0, NOISY, (320, 0.95, 0.3, 0.2)),
    (1, NOISY, (330, 0.95, 0.3, 0.2)),
    (2, NOISY, (240, 0.95, 0.1, 0.2)),
    (3, NOISY, (240, 0.95, 0.3, 0.1)),
    (4, CONTROL, (NEVER, 0.21, 0.3, 0.2)),
  ],
)
def test_each_part_can_fail(part, arm, outcome):
  assert parts(fabricate({arm: outcome}))[part] == FAILS


def test_a_network_that_diverges_never_arrives_and_stays_at_guessing():
  outcomes = EXPERIMENT.outcomes(fabricate(diverged=[BN])).loc[BN]
  assert (outcomes['training_steps'] == NEVER).all()
  assert not outcomes['rises_above_guessing'].any()


def test_the_figure_is_drawn_also_where_nobody_arrives():
  for changes in ({}, dict.fromkeys(ARMS, (NEVER, 0.1, 0.1, 0.1))):
    figure = EXPERIMENT.plot(EXPERIMENT, fabricate(changes), 'digits')
    figure.draw_without_rendering()
  assert 'never' in figure.get_suptitle()


def test_changes_are_per_channel_and_in_its_own_unit():
  mean = np.array([[0.0, 1.0], [1.0, 0.0]])
  variance = np.array([[4.0, 1.0], [4.0, 3.0]])
  found = analysis.changes({'mean/layer1': mean, 'variance/layer1': variance})
  assert all(np.isnan(values[0]) for values in found.values())
  assert {name: values[1] for name, values in found.items()} == pytest.approx(
    {
      'mean/layer1': 1.0,
      'variance/layer1': 1.0,
      'relative_mean/layer1': (1 / 2 + 1 / math.sqrt(2)) / 2,
      'relative_variance/layer1': (0 + 2 / 2) / 2,
    }
  )


def test_a_channel_that_is_constant_has_not_changed():
  still = np.zeros((3, 2))
  found = analysis.changes({'mean/layer1': still, 'variance/layer1': still})
  assert all((values[1:] == 0).all() for values in found.values())


def test_histograms_are_shares_of_all_values_by_their_lower_edge():
  x = np.array([-9.0, -4.0, 0.0, 0.2, 0.25, 3.9, 4.0, 9.0], np.float32)
  counts = np.asarray(distribution.histogram(x))[None]
  probe = {f'histogram/layer{i}': counts for i in (1, 2, 3, 4, 5)}
  found = analysis.histograms(probe | {'edges': distribution.EDGES[None]})
  layers = {name.split('/')[1] for name in found}
  assert layers == {'layer1', 'layer3', 'layer5'}
  nonzero = {k: v[0] for k, v in found.items() if v[0] and '/layer3/' in k}
  assert nonzero == {
    'histogram/layer3/-4': 1 / 8,
    'histogram/layer3/0': 2 / 8,
    'histogram/layer3/0.25': 1 / 8,
    'histogram/layer3/3.75': 1 / 8,
  }


def test_percentiles_are_of_three_layers_in_the_order_of_the_probe():
  of_unit = np.array([[-1.0, 0.0, 1.0], [-2.0, 0.5, 2.0]])
  found = analysis.percentiles(
    {f'unit_percentiles/layer{i}': i * of_unit for i in (1, 2, 3)}
  )
  assert {k: v[1] for k, v in found.items() if '/layer2/' in k} == {
    'unit/layer2/p15': -4.0,
    'unit/layer2/p50': 1.0,
    'unit/layer2/p85': 4.0,
  }


@pytest.mark.parametrize('scale', SCALES)
def test_the_noise_is_the_papers_and_the_same_in_both_networks(scale):
  for arm in (NOISY, CONTROL):
    set_fields = records.flatten(config_of(scale, arm, 0).norm.to_dict())
    noise = {'mean_range', 'max_std', 'mean_jitter', 'std_jitter'}
    assert not {k for k in noise if set_fields[k] is not None}
  for layer in (norms.NoisyBatchNorm(), norms.DistributionalNoise()):
    assert (layer.mean_range, layer.max_std) == (0.5, 1.25)
    assert (layer.mean_jitter, layer.std_jitter) == (0.1, 0.1)
