"""The runs are those that the table names; the times are not tested."""

from benchmarks import sweep
from normlab.commands import config_files
from normlab.sweeps import plan
from normlab.sweeps.language.hyper import MOST_ROWS
from normlab.sweeps.runners.stacked import stackable


def test_its_runs_are_one_program(tmp_path):
  file = tmp_path / 'swept.py'
  file.write_text(sweep.CONFIG.format(model='mlp', steps=7, seeds=4))
  module = config_files.load(str(file))
  config = module.get_config()
  assert config.total_steps == 7 and config.model.name == 'mlp'
  planned = plan.members(config, plan.rows_of(module))
  assert len(planned) == sweep.MEMBERS < MOST_ROWS
  (group,) = stackable.groups({m.name: m.config for m in planned})
  assert len(group) == sweep.MEMBERS


def test_each_way_trains_its_runs_once_and_is_a_row(monkeypatch):
  calls = []
  monkeypatch.setattr(sweep, 'call', lambda *words: calls.append(words[1:]))
  monkeypatch.setattr(sweep, 'MODELS', ('cnn',))
  report = sweep.report()
  scripts = [script for script, *_ in calls]
  fresh, sweeps = sweep.FRESH_PROCESSES, len(sweep.RUNNERS)
  assert scripts == ['train'] * fresh + ['sweep'] * sweeps
  # No two trainings share a folder.
  assert len({words[1] for words in calls}) == fresh + sweeps
  for runner in sweep.RUNNERS:
    assert f'| `--runner={runner}` |' in report
