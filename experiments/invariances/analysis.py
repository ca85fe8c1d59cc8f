"""Deviations as cells, outcomes, and a table for people."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from experiments.invariances.arms import (
  ARMS,
  CHANGES,
  CONVOLUTION,
  DENSE,
  EQUAL,
  LAYERS,
  OTHER,
  PAPER,
  PRINTED,
  QUANTITIES,
  RESCALED_WEIGHTS,
  SAME,
  THEOREM,
)
from normlab.analysis.outcomes import NOTHING

YES, NO, UNDECIDED = 'yes', 'no', 'undecided'


def answer(deviation: float) -> str:
  """Whether a deviation is that of an invariance; NaN is undecided."""
  if abs(deviation) < SAME:
    return YES
  return NO if abs(deviation) > OTHER else UNDECIDED


def short(deviation: float) -> str:
  """A deviation as text: '7e-16', '0.3'."""
  form = '.0e' if answer(deviation) == YES else '.1g'
  return f'{deviation:{form}}'


def cell(found: Mapping[str, float]) -> float:
  """The deviation that decides on a cell of one seed.

  That of the output; where it is invariant, the largest of it and of both
  gradients, and NaN if one of them is.

  Args:
    found: deviations by quantity.
  """
  output = found.get(QUANTITIES[0], 0.0)
  if answer(output) != YES:
    return output
  return max(
    found.values(), key=lambda x: math.inf if math.isnan(x) else abs(x)
  )


def column(layer: str, change: str) -> str:
  """The name of a cell among the outcomes."""
  return f'{layer}, {change}'


def outcomes_of(run: pd.DataFrame) -> dict[str, Any]:
  """The cells of one arm and seed, and what claims say about them.

  Args:
    run: rows of `deviations.compute`.
  """
  arm = run['arm'].iloc[0]
  found: dict[str, dict[str, float]] = {}
  for row in run.itertuples():
    own = found.setdefault(column(row.layer, row.change), {})
    own[row.quantity] = row.deviation
  cells = {name: cell(own) for name, own in found.items()}
  answers = {name: answer(value) for name, value in cells.items()}
  if arm in ARMS:
    rescaled = {answers.get(column(n, RESCALED_WEIGHTS)) for n in LAYERS}
    said = {'ignores_rescaled_weights': rescaled <= {YES, None}}
  elif arm in (THEOREM, PRINTED):
    # Left minus right, relative to the left.
    value = cells[column(DENSE, EQUAL)]
    said = {'is_an_equality': abs(value) < SAME, 'is_a_bound': value < SAME}
  else:
    said = {'are_equal': answers[column(CONVOLUTION, EQUAL)] == YES}
  if arm in PAPER:
    here = [answers[column(DENSE, change)] for change in CHANGES]
    said['matches_the_table'] = here == published(arm)
  return {**said, **cells}


def published(arm: str) -> list[str]:
  """The papers' answers for an arm, in the order of `CHANGES`."""
  return [{'y': YES, 'n': NO}[letter] for letter in PAPER[arm]]


def worst(deviations: pd.Series) -> float:
  """That of the seed that speaks most against the answer of most seeds.

  Args:
    deviations: of one cell, by seed; with a NaN among them the result is NaN.
  """
  if deviations.isna().any():
    return float('nan')
  is_same = deviations.median() < (SAME * OTHER) ** 0.5
  return float(deviations.max() if is_same else deviations.min())


def cells_of(outcomes: pd.DataFrame, layer: str) -> pd.DataFrame:
  """The worst deviation over seeds: one row an arm, one column a change.

  Args:
    outcomes: one row a run, by arm and seed.
    layer: of `LAYERS`. Arms that need space have NaN in a dense one.
  """
  own = outcomes.loc[list(ARMS), [column(layer, name) for name in CHANGES]]
  found = own.groupby(level='arm', sort=False).agg(worst)
  return found.set_axis(list(CHANGES), axis=1)


def present(outcomes: pd.DataFrame, target: float | None) -> pd.DataFrame:
  """One row a norm and layer: the answers, with deviations.

  Args:
    outcomes: one row a run, by arm and seed.
    target: none.
  """
  del target
  rows = []
  for layer in LAYERS:
    for arm, values in cells_of(outcomes, layer).iterrows():
      if not ARMS[arm].is_measured(layer):
        continue
      texts = {name: f'{answer(x)} ({short(x)})' for name, x in values.items()}
      agreed = NOTHING
      if arm in PAPER and layer == DENSE:
        pairs = zip(map(answer, values), published(arm), strict=True)
        agreed = f'{sum(a == b for a, b in pairs)} of {len(CHANGES)}'
      rows.append(
        {'norm': arm, 'layer': layer, **texts, 'as in the paper': agreed}
      )
  return pd.DataFrame(rows)
