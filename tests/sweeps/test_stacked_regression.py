import stacked_runs as stacked

from normlab import records

REGRESSION = {
  'data.name': 'valley/standardized',
  'batch_size': 100,
  'label_smoothing': None,
  'optimizer.learning_rate': 0.001,
}


def test_members_of_a_regression_have_the_rows_of_runs_alone(tmp_path):
  fields = [REGRESSION | {'seed': seed} for seed in (0, 1)]
  paths = [str(tmp_path / f'member{own["seed"]}') for own in fields]
  configs = [stacked.config(**own) for own in fields]
  problems = stacked.train(dict(zip(paths, configs, strict=True)))
  assert problems == dict.fromkeys(paths)
  for path, own in zip(paths, fields, strict=True):
    stacked.assert_is_as_alone(path, tmp_path, own)
    rows = records.Record(path).metrics()
    assert {row['split'] for row in rows if 'accuracy' in row} == {
      'validation',
      'test',
    }
