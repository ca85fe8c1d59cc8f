"""What docs/extending.md shows of own code is run, from a folder outside."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from normlab import errors, records, validation
from normlab.commands import config_files
from normlab.commands.evaluate import evaluate_run
from normlab.runtime import progress_bar
from normlab.runtime.interruption import Interrupted
from normlab.sweeps import plan
from normlab.sweeps.runners.stacked.vectorized import Vectorized
from normlab.training import loop

BLOCK = re.compile(r'^```python\n# (\w+\.py)\n(.*?)^```', re.M | re.DOTALL)
# Path of a field to the own code of the page.
OWN = {
  'norm.name': 'my_norm:MaxNorm',
  'norm.options.floor': '1e-2',
  'norm.num_groups': 'None',
  'model.activation': 'my_norm:squared_relu',
  'optimizer.name': 'my_optimizer:sign',
  'optimizer.options.power': '1',
  'optimizer.learning_rate': '1e-3',
  'schedule.name': 'my_optimizer:triangle',
  'schedule.options.peak': '0.25',
  'data.name': 'my_data:blobs',
  'data.augmentation': 'my_data:invert',
  'metrics': "('my_data:margin',)",
  'probes.names': "('my_probe:length',)",
  'probes.every': '4',
}
SHORT = {'total_steps': '8', 'eval_every': '4', 'log_every': '4'}


class Watch:
  """Of a sweep that nobody watches."""

  def started(self, path):
    pass

  def poll(self):
    pass

  def stop(self):
    return False


@pytest.fixture(scope='module')
def project(root, tmp_path_factory):
  """A folder with the files of the page."""
  folder = tmp_path_factory.mktemp('project')
  text = (root / 'docs' / 'extending.md').read_text(encoding='utf-8')
  for name, code in BLOCK.findall(text):
    (folder / name).write_text(code)
    assert len([line for line in code.splitlines() if line.strip()]) <= 25
  return folder


@pytest.fixture
def configured(project, monkeypatch):
  """The config of the page, with overrides."""
  monkeypatch.setattr(sys, 'path', [*sys.path])

  def make(**overrides):
    module = config_files.load(str(project / 'my_config.py'))
    config = config_files.config_of(module)
    config_files.override(config, {**SHORT, **overrides}.items())
    return config

  return make


def own(**overrides):
  """All own code of the page; a norm of its own has no groups."""
  return {k: v for k, v in (OWN | overrides).items() if v != 'None'}


@pytest.fixture
def all_own(configured):
  def make(**overrides):
    config = configured(**own(**overrides))
    config.norm.num_groups = None
    return config

  return make


def train(config, folder, **options):
  loop.train(
    config, folder, progress=lambda _: progress_bar.Progress(), **options
  )
  return records.Record(folder)


def test_every_kind_trains_is_evaluated_and_resumes(all_own, tmp_path, project):
  config = all_own()
  whole = train(config, tmp_path / 'whole')
  rows = whole.metrics()
  assert all(np.isfinite(row['margin']) for row in rows)
  assert {row['split'] for row in rows} == {'train', 'validation', 'test'}
  assert whole.config['code_dir'] == str(project)
  assert list(whole.probe('my_probe:length')['step']) == [0, 4, 8]
  # The rate rises over a quarter of the steps, from 0 at the first.
  rates = [row['learning_rate'] for row in rows if row['split'] == 'train']
  assert rates[-1] == pytest.approx(1e-3 * (1 - 7 / 8 + 1e-3))
  found = evaluate_run(tmp_path / 'whole').values
  assert found['margin'] == pytest.approx(rows[-1]['margin'], rel=1e-5)
  seen = iter(range(1_000))
  with pytest.raises(Interrupted):
    train(config, tmp_path / 'parts', stop=lambda: next(seen) > 6)
  resumed = train(config, tmp_path / 'parts')
  assert resumed.metrics() == rows


def test_runs_that_are_stacked_have_own_code_too(all_own, tmp_path):
  runs = {}
  for rate in ('1e-3', '2e-3'):
    config = all_own(**{'optimizer.learning_rate': rate})
    config.probes.names = config.probes.every = None
    runs[str(tmp_path / rate)] = validation.check(config)
  assert dict(Vectorized().train(runs, Watch())) == dict.fromkeys(runs)
  for path, config in runs.items():
    alone = train(config, f'{path}_alone').metrics()
    for one, other in zip(records.Record(path).metrics(), alone, strict=True):
      assert one['margin'] == pytest.approx(other['margin'], rel=1e-3, abs=1e-4)


def test_the_rows_of_a_sweep_reach_norms_that_are_activations(configured):
  module = config_files.load(configured().code_dir + '/my_config.py')
  members = plan.members(configured(), plan.rows_of(module))
  assert [m.config.norm.name for m in members] == ['group', 'evonorm_s0']
  # The helper leaves the activation out: nothing to note.
  assert validation.notes(m.config for m in members) == []


def test_options_are_swept_and_belong_to_the_identity(configured):
  rows = [{'model.options.depth': depth} for depth in (1, 2, 3, 3.0)]
  with pytest.raises(errors.ConfigError, match='row 4: .*must be of type int'):
    plan.members(configured(), rows)
  members = plan.members(configured(), [*rows[:3], {}])
  assert [m.rows for m in members] == [(1,), (2,), (3, 4)]
  assert members[0].name.startswith('mine-depth=1-')
  same = configured(**{'schedule.options.x': '1'})
  other = configured(**{'schedule.options.x': '1.0'})
  assert records.identity(same) == records.identity(other)
  assert records.identity(same) != records.identity(configured())


@pytest.mark.parametrize(
  'overrides, said',
  [
    ({'model.options.dept': '3'}, "'dept'; did you mean 'depth'?"),
    ({'model.options.depth': 'a'}, "depth='a' is not allowed: must be of type"),
    ({'model.widths': '(3,)'}, "model 'my_network:VGG' has no such field"),
    ({'model.name': 'my_network:VG'}, "did you mean 'VGG'?"),
    ({'norm.name': 'my_norm:squared_relu'}, 'must be a class of flax.linen'),
    ({'norm.name': 'my_norms:A'}, "there is no module 'my_norms'"),
    ({'model.activation': 'my_norm:relu'}, "has no 'relu'"),
    ({'optimizer.name': 'optax:constant_schedule'}, 'optimizer: optimizer'),
    ({'optimizer.name': 'optax:apply_updates'}, 'needs params and updates'),
    ({'schedule.name': 'optax:linear_schedule'}, 'options.init_value'),
    ({'schedule.name': 'my_norm:squared_relu'}, 'needs x'),
    ({'metrics': "('my_data:splits',)"}, "'splits' fails: TypeError"),
    ({'metrics': "('my_data:margin', 'my_data:x')"}, "has no 'x'"),
    ({'data.augmentation': 'my_data:margin'}, 'is not allowed: it fails'),
    ({'data.name': 'my_data:SIZES'}, 'must have splits, sizes'),
    ({'data.name': 'my_data:splits'}, 'must have splits, sizes'),
    ({'probes.names': "('my_probe:lengths',)"}, "did you mean 'length'?"),
  ],
  ids=lambda value: str(value)[:40],
)
def test_what_does_not_fit_is_a_line(configured, overrides, said):
  config = configured(**overrides)
  if overrides.get('norm.name'):
    config.norm.num_groups = None
  with pytest.raises(errors.ConfigError) as error:
    validation.check(config)
  assert any(said in line for line in error.value.problems), error.value
  assert all('\n' not in line for line in error.value.problems)


def test_code_that_is_not_on_this_machine_is_a_line(configured, tmp_path):
  config = configured(**{'model.name': 'gone_network:VGG'})
  record = records.Record(tmp_path / 'run')
  record.create()
  config.code_dir = '/absent'
  record.write_config(config)
  with pytest.raises(errors.ConfigError) as error:
    evaluate_run(tmp_path / 'run')
  (line,) = error.value.problems
  assert line.endswith("and in '/absent', which is not on this machine)")


@pytest.mark.slow
def test_processes_find_what_the_config_finds(root, project, tmp_path):
  command = [
    *(sys.executable, root / 'scripts' / 'sweep.py', '--runner=processes'),
    *(f'--config={project / "my_config.py"}', '--config.total_steps=4'),
    *(f'--workdir={tmp_path / "sweep"}', '--processes=2'),
  ]
  found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
  assert found.returncode == 0, found.stderr
  done = list((tmp_path / 'sweep').glob('*/status.json'))
  assert [json.loads(p.read_text())['status'] for p in done] == ['done'] * 2
  assert 'note:' not in found.stderr
