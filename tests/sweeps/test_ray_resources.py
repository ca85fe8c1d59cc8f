import pytest

from normlab import errors
from normlab.sweeps.runners.ray import ray_resources
from normlab.sweeps.runners.ray.ray_cluster import RayCluster


@pytest.mark.parametrize(
  'asked',
  [
    *({'num_cpus': bad} for bad in (-1, 1.5, float('nan'), 'two', True)),
    {'num_gpus': 2.5},
    {'num_cpus': 0},
  ],
)
def test_amounts_that_no_task_can_have_are_refused(asked):
  with pytest.raises(errors.ConfigError, match=f'--{[*asked][0]}=.*allowed'):
    RayCluster('127.0.0.1:1', **asked).check({})


@pytest.mark.parametrize(
  ('asked', 'fits'),
  [
    ({'CPU': 4}, True),
    ({'CPU': 0.1}, True),
    ({'CPU': 2, 'GPU': 0.5}, True),
    ({'CPU': 4, 'GPU': 1}, False),
    ({'GPU': 2}, False),
    ({'CPU': 64}, False),
  ],
)
def test_a_run_needs_one_node_that_has_all_it_asks_for(asked, fits):
  nodes = [
    {'Alive': True, 'Resources': {'CPU': 2.0, 'GPU': 1.0}},
    {'Alive': True, 'Resources': {'CPU': 4.0}},
    {'Alive': False, 'Resources': {'CPU': 64.0, 'GPU': 8.0}},
  ]
  assert (ray_resources.lacking(asked, nodes) is None) == fits


def test_a_cluster_that_has_lost_its_nodes_for_long_is_a_problem(monkeypatch):
  class Ray:
    alive = True

    def nodes(self):
      return [{'Alive': self.alive, 'Resources': {'CPU': 2.0}}]

  clock = iter(range(0, 10_000, 10))
  monkeypatch.setattr(ray_resources.time, 'monotonic', lambda: next(clock))
  ray = Ray()
  room = ray_resources.Room(ray, {'CPU': 1})
  assert [room.problem() for _ in range(20)] == [None] * 20
  ray.alive = False
  problems = [room.problem() for _ in range(20)]
  assert problems[0] is None and 'none is alive' in problems[-1]
