"""The form of an experiment: runs, outcomes, claims and a figure.

Everything that follows from the runs is a pure function of one table, with one
row an evaluation; its columns are the labels of the runs ('arm', 'seed', ...)
and those of `tables.evaluations`.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import ml_collections
import pandas as pd
from matplotlib.figure import Figure

from normlab.analysis import claims, outcomes
from normlab.analysis.claims import Claim

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
    config: makes the config of the baseline.
    seeds: of the arms that claims compare.
    fewer_seeds: of the other arms.
    target_seeds: of the baseline's runs that set the target.
    tuning_seeds: of the baseline's runs that tune its learning rate.
    rates: the grid on which the baseline's learning rate is tuned, in factors
      of 2 or less; the config has the best.
    tuned_at: the scale whose tuning this one shares; None has its own.
  """

  config: Callable[[], ml_collections.ConfigDict]
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
    baseline: the arm that is tuned, and whose end is the target.
    claims: what is judged.
    config_of: from a scale, an arm and a seed, the config.
    runs: from the name of a scale, all runs but those of the target.
    present: from the outcomes and the target, the table for people.
    plot: from the table and the name of the scale, the figure.
  """

  scales: Mapping[str, Scale]
  baseline: str
  claims: Sequence[Claim]
  config_of: Callable[[str, str, int], ml_collections.ConfigDict]
  runs: Callable[[str], list[Run]]
  present: Callable[[pd.DataFrame, float], pd.DataFrame]
  plot: Callable[['Experiment', pd.DataFrame, str], Figure]

  def all_runs(self, scale: str) -> list[Run]:
    """Those that set the target first, then those of the arms."""
    target = [
      Run(
        {'arm': self.baseline, 'seed': seed},
        self.config_of(scale, self.baseline, seed),
      )
      for seed in self.scales[scale].target_seeds
    ]
    return target + self.runs(scale)

  def tuning_runs(self, scale: str) -> list[Run]:
    """The baseline at each rate of the grid, on seeds of its own."""
    found = []
    for seed in self.scales[scale].tuning_seeds:
      for rate in self.scales[scale].rates:
        config = self.config_of(scale, self.baseline, seed)
        config.optimizer.learning_rate = rate
        config.label += f'-rate{rate:g}'
        labels = {'arm': self.baseline, 'seed': seed, 'rate': rate}
        found.append(Run(labels, config))
    return found

  def tuned(self, table: pd.DataFrame) -> pd.DataFrame:
    """The accuracy at the end by 'rate' and 'seed', of `tuning_runs`."""
    ends = table.groupby(['rate', 'seed']).apply(outcomes.final_accuracy)
    return ends.rename('accuracy').reset_index()

  def arms(self, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table that do not only set the target."""
    return table[~self._sets_target(table)]

  def target(self, table: pd.DataFrame) -> float:
    """The accuracy to match: where the baseline ends, on seeds of its own."""
    own = table[self._sets_target(table)]
    return float(own.groupby('seed').apply(outcomes.final_accuracy).mean())

  def outcomes(
    self, table: pd.DataFrame, target: float | None = None
  ) -> pd.DataFrame:
    """One row a run, by arm and seed, as `outcomes.outcomes`; and 'trains'.

    Args:
      table: of `all_runs`.
      target: accuracy to count steps to; default: that of the table.
    """
    target = self.target(table) if target is None else target
    found = outcomes.outcomes(self.arms(table), target=target)
    return found.assign(trains=found['accuracy'] > 2 * CHANCE)

  def judge(self, table: pd.DataFrame) -> pd.DataFrame:
    """The verdicts, as `claims.judge`."""
    grid = outcomes.evaluation_grid(table)
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
