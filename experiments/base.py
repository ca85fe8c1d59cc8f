"""The form of an experiment: runs, outcomes, claims and a figure.

Everything that follows from the runs is a pure function of one table, with one
row per run and step; its columns are the labels of the runs ('arm', 'seed',
...) and those of `tables.evaluations`. An experiment that trains nothing
computes its table.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import ml_collections
import pandas as pd
from matplotlib.figure import Figure

from normlab.analysis import claims, outcomes
from normlab.analysis.claims import Claim
from normlab.records import Record

# The first seed of the runs that only set the target, so that no arm is
# compared with its own luck, and of those that only tune.
FIRST_OTHER_SEED = 100
# Seeds to tune with where three do not tell neighbours of the grid apart.
TEN = tuple(range(103, 113))
# Accuracy of guessing: ten classes, about as frequent.
CHANCE = 0.1


class Run(NamedTuple):
  """One run: what identifies it in the table, and its config."""

  labels: dict[str, Any]
  config: ml_collections.ConfigDict


class Scale(NamedTuple):
  """The size of an experiment.

  Attributes:
    config: makes the config of the baseline; None where nothing is trained.
    seeds: of the arms that claims compare.
    fewer_seeds: of the other arms.
    target_seeds: of the baseline's runs that set the target; () sets none.
    tuning_seeds: of the runs that tune the learning rate.
    rates: the grid on which it is tuned, in factors of 2 or less; the configs
      have the best. () tunes nothing.
    tuned_at: the scale whose tuning this one shares; None has its own.
  """

  config: Callable[[], ml_collections.ConfigDict] | None = None
  seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
  fewer_seeds: tuple[int, ...] = (0, 1, 2)
  target_seeds: tuple[int, ...] = (100, 101, 102)
  tuning_seeds: tuple[int, ...] = (103, 104, 105)
  rates: tuple[float, ...] = (0.005, 0.01, 0.02, 0.04, 0.08)
  tuned_at: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
  """A question, and how it is answered.

  Attributes:
    scales: by name.
    claims: what is judged.
    present: from the outcomes and the target, or None, the table for people.
    plot: from the table and the name of the scale, the figure.
    runs: from the name of a scale, all runs but those of the target.
    config_of: from a scale, an arm and a seed, the config.
    baseline: the arm whose end is the target, and whose learning rate arms
      take that are not tuned themselves; None where the question has none.
    tuned_arms: those tuned, each on the grid; () is the baseline alone.
    tuned_by: 'accuracy', or another column of evaluations or of
      `tables.training`: the taken rate has the highest mean of the last three.
    measure: from the record of a run, by step (the index), further columns of
      the table: what probes measured, or `tables.training`.
    further_outcomes: from the rows of one run, numbers and bools that become
      columns of the outcomes; also called for runs that diverged.
    compute: from the name of a scale, the table, in place of `runs`.
  """

  scales: Mapping[str, Scale]
  claims: Sequence[Claim]
  present: Callable[[pd.DataFrame, float | None], pd.DataFrame]
  plot: Callable[['Experiment', pd.DataFrame, str], Figure]
  runs: Callable[[str], list[Run]] = lambda scale: []
  config_of: Callable[[str, str, int], ml_collections.ConfigDict] | None = None
  baseline: str | None = None
  tuned_arms: Sequence[str] = ()
  tuned_by: str = 'accuracy'
  measure: Callable[[Record], pd.DataFrame] | None = None
  further_outcomes: Callable[[pd.DataFrame], Mapping[str, Any]] | None = None
  compute: Callable[[str], pd.DataFrame] | None = None

  def all_runs(self, scale: str) -> list[Run]:
    """Those that set the target first, then those of the arms."""
    seeds = self.scales[scale].target_seeds if self.baseline else ()
    target = [
      Run(
        {'arm': self.baseline, 'seed': seed},
        self.config_of(scale, self.baseline, seed),
      )
      for seed in seeds
    ]
    return target + self.runs(scale)

  def tuning_runs(self, scale: str) -> list[Run]:
    """Each tuned arm at each rate of the grid, on seeds of their own."""
    own, found = self.scales[scale], []
    arms = self.tuned_arms or filter(None, [self.baseline])
    for seed, arm, rate in itertools.product(own.tuning_seeds, arms, own.rates):
      config = self.config_of(scale, arm, seed)
      config.optimizer.learning_rate = rate
      config.label += f'-rate{rate:g}'
      config.probes.update(dict.fromkeys(config.probes))
      found.append(Run({'arm': arm, 'seed': seed, 'rate': rate}, config))
    return found

  def tuned(self, table: pd.DataFrame) -> pd.DataFrame:
    """What `tuning_runs` are tuned by, by 'rate' and 'seed'.

    By 'arm' first, where arms are tuned that are not the baseline.
    """
    keys = ['arm', 'rate', 'seed'] if self.tuned_arms else ['rate', 'seed']
    ends = table.groupby(keys).apply(
      outcomes.final, self.tuned_by, diverged=0.0
    )
    found = ends.rename(self.tuned_by).reset_index()
    if not self.tuned_arms:
      return found
    order = [*self.tuned_arms].index
    return found.sort_values(
      'arm', key=lambda arms: arms.map(order), kind='stable'
    )

  def arms(self, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table that do not only set the target."""
    return table[~self._sets_target(table)]

  def target(self, table: pd.DataFrame) -> float | None:
    """The accuracy to match: where the baseline ends, on seeds of its own."""
    own = table[self._sets_target(table)]
    if own.empty:
      return None
    return float(own.groupby('seed').apply(outcomes.final_accuracy).mean())

  def outcomes(
    self, table: pd.DataFrame, target: float | None = None
  ) -> pd.DataFrame:
    """One row a run, by arm and seed.

    What `outcomes.outcomes` has of runs that were trained, and 'trains'; then
    the further outcomes of the experiment.

    Args:
      table: of `all_runs`.
      target: accuracy to count steps to; default: that of the table.
    """
    arms = self.arms(table)
    parts = []
    if self.compute is None:
      target = self.target(table) if target is None else target
      found = outcomes.outcomes(arms, target=target)
      parts.append(found.assign(trains=found['accuracy'] > 2 * CHANCE))
    if self.further_outcomes:
      parts.append(outcomes.by_run(arms, self.further_outcomes))
    return pd.concat(parts, axis=1)

  def judge(self, table: pd.DataFrame) -> pd.DataFrame:
    """The verdicts, as `claims.judge`."""
    grid = 0 if self.compute else outcomes.evaluation_grid(table)
    return claims.judge(self.claims, self.outcomes(table), grid=grid)

  def strip(
    self, table: pd.DataFrame, targets: Sequence[float]
  ) -> pd.DataFrame:
    """The verdicts about times at other targets, as `claims.strip`."""
    return claims.strip(
      self.claims,
      lambda target: self.outcomes(table, target),
      targets,
      grid=outcomes.evaluation_grid(table),
    )

  def _sets_target(self, table: pd.DataFrame) -> pd.Series:
    return table['seed'] >= FIRST_OTHER_SEED
