"""Configs of a result: stored beside it, and compared with those of now."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections
import pandas as pd

from normlab import records


def configs_of(runs: Sequence[Any]) -> dict[str, Any]:
  """The fields that all runs share, 'config', and those of each, 'runs'."""
  flat = {run_key(run.labels): fields(run.config) for run in runs}
  first, *others = flat.values() or [{}]
  shared = {
    field: value
    for field, value in first.items()
    if all(field in o and o[field] == value for o in others)
  }
  return {
    'config': shared,
    'runs': {
      key: {field: own[field] for field in own if field not in shared}
      for key, own in flat.items()
    },
  }


def another_version(
  made: Mapping[str, Any], table: pd.DataFrame, runs: Sequence[Any]
) -> str | None:
  """The first thing in which curves differ from the experiment as it is now.

  Args:
    made: how the curves were made, with `configs_of` their runs.
    table: the curves.
    runs: of the experiment.
  """
  rows = table[['arm', 'seed']].drop_duplicates().to_dict('records')
  evaluated = {*map(run_key, rows)}
  now = {run_key(run.labels): fields(run.config) for run in runs}
  for key, config in now.items():
    if key not in made['runs'] or key not in evaluated:
      return f'it has no run {key!r}'
    before = made['config'] | made['runs'][key]
    for field in sorted({*config, *before}):
      if config.get(field) != before.get(field):
        return (
          f'config.{field} of {key!r} is {before.get(field)!r} there and '
          f'{config.get(field)!r} now'
        )
  further = {*made['runs'], *evaluated} - {*now}
  return f'its run {min(further)!r} is none now' if further else None


def run_key(labels: Mapping[str, Any]) -> str:
  """What names a run of an experiment."""
  return f'{labels["arm"]}, seed {labels["seed"]}'


def fields(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """The fields that are set and decide the result, as JSON has them."""
  kept = {
    field: value
    for field, value in records.flatten(config).items()
    if value is not None and field not in ('label', 'data.data_dir')
  }
  return json.loads(json.dumps(kept))
