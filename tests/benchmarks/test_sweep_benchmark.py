"""What is timed is what the table says; the times themselves are not tested."""

import pathlib

from normlab.benchmarks import sweep as benchmark
from normlab.sweeps import stackable
from normlab.sweeps import sweep as sweep_lib
from normlab.sweeps.hyper import MOST_ROWS


def test_its_runs_are_one_program(tmp_path):
  file = tmp_path / 'swept.py'
  file.write_text(benchmark.CONFIG.format(model='mlp', steps=7, seeds=4))
  config = sweep_lib.load(file).get_config()
  assert config.total_steps == 7 and config.model.name == 'mlp'
  planned = sweep_lib.plan(config, sweep_lib.rows_of(file))
  assert len(planned) == benchmark.MEMBERS < MOST_ROWS
  (group,) = stackable.groups({m.name: m.config for m in planned})
  assert len(group) == benchmark.MEMBERS


def test_each_way_trains_its_runs_once_and_is_a_row(monkeypatch):
  calls = []
  monkeypatch.setattr(benchmark, 'call', lambda *words: calls.append(words[1:]))
  rows = benchmark.rows_of('cnn', 10, pathlib.Path('scripts'))
  scripts = [script.name for script, *_ in calls]
  fresh, sweeps = benchmark.FRESH_PROCESSES, len(benchmark.RUNNERS)
  assert scripts == ['train.py'] * fresh + ['sweep.py'] * sweeps
  # No two trainings share a folder.
  assert len({words[1] for words in calls}) == fresh + sweeps
  assert [row['runs'] for row in rows] == [fresh, *[benchmark.MEMBERS] * sweeps]
  assert rows[0]['times the first'] == '1.00'
