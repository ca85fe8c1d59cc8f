import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from normlab import errors
from normlab.sweeps.language import hyper

A = hyper.sweep('config.a', [1, 2, 3])
B = hyper.sweep('config.b', ['x', 'y'])


def test_a_sweep_is_a_row_a_value():
  assert A == ({'config.a': 1}, {'config.a': 2}, {'config.a': 3})


def test_a_product_has_all_pairs_and_its_last_sweep_varies_fastest():
  rows = hyper.product([A, B])
  pairs = [(row['config.a'], row['config.b']) for row in rows]
  assert pairs == list(itertools.product([1, 2, 3], ['x', 'y']))


def test_a_product_of_nothing_is_the_config_as_it_is():
  assert hyper.product([]) == ({},)


def test_zipit_goes_through_all_sweeps_together():
  c = hyper.sweep('config.c', (4.0, 5.0, 6.0))
  assert hyper.zipit([A, c])[1] == {'config.a': 2, 'config.c': 5.0}
  assert len(hyper.zipit([A, c])) == 3


def test_a_fixed_override_goes_with_every_row():
  d = hyper.fixed('config.d', 7)
  expected = [{'config.a': a, 'config.d': 7} for a in (1, 2, 3)]
  assert list(hyper.zipit([A, d])) == expected
  assert list(hyper.product([A, d])) == expected


def test_a_fixed_override_can_be_as_long_as_asked():
  assert hyper.fixed('config.d', 7, length=2) == ({'config.d': 7},) * 2


def test_chainit_has_the_rows_of_all_in_order():
  assert hyper.chainit([A, B]) == A + B


def test_sweeps_compose_as_in_published_configs():
  rows = hyper.product(
    [
      hyper.chainit(
        [
          hyper.zipit([hyper.fixed('config.steps', s, length=1), B])
          for s in (10, 20)
        ]
      ),
      A,
    ]
  )
  assert len(rows) == 2 * 2 * 3
  assert rows[0] == {'config.steps': 10, 'config.b': 'x', 'config.a': 1}


def test_rows_are_plain_data():
  rows = hyper.sweep('config.a', np.array([1.0, 2.0]))
  assert [type(row['config.a']) for row in rows] == [float, float]
  (row,) = hyper.sweep('config.widths', [[8, 16]])
  assert row == {'config.widths': (8, 16)}


def test_a_grid_by_factors_has_its_ends_and_round_numbers():
  assert hyper.logspace(0.1, 100, 4) == (0.1, 1.0, 10.0, 100.0)
  assert hyper.logspace(100, 1, 3) == (100.0, 10.0, 1.0)
  assert hyper.logspace(3, 5, 1) == (3.0,)
  np.testing.assert_allclose(
    hyper.logspace(1e-3, 7, 9), np.geomspace(1e-3, 7, 9), rtol=1e-11
  )


def test_a_grid_by_steps_is_that_of_numpy():
  assert hyper.linspace(0, 1, 5) == (0, 0.25, 0.5, 0.75, 1)


DOMAINS = {
  'config.u': hyper.uniform(-1, 2),
  'config.l': hyper.loguniform(1e-3, 1e2),
  'config.i': hyper.integers(3, 5),
  'config.c': hyper.choice(['x', 'y', 'z']),
}


@pytest.mark.parametrize('draw', [hyper.random, hyper.quasirandom])
def test_draws_lie_in_their_domains_and_reach_all_parts(draw):
  rows = draw(DOMAINS, 64, seed=1)
  columns = {key: [row[key] for row in rows] for key in DOMAINS}
  assert all(-1 <= u <= 2 for u in columns['config.u'])
  assert all(1e-3 <= v <= 1e2 for v in columns['config.l'])
  assert {*columns['config.i']} == {3, 4, 5}
  assert {*columns['config.c']} == {'x', 'y', 'z'}
  # Alike in the logarithm: about half lie below the geometric mean.
  below = sum(v < 10**-0.5 for v in columns['config.l'])
  assert 20 <= below <= 44


@pytest.mark.parametrize('draw', [hyper.random, hyper.quasirandom])
def test_a_seed_decides_the_draws_and_more_of_them_begin_alike(draw):
  assert draw(DOMAINS, 8, seed=3) == draw(DOMAINS, 8, seed=3)
  assert draw(DOMAINS, 8, seed=3) != draw(DOMAINS, 8, seed=4)
  assert draw(DOMAINS, 12, seed=3)[:8] == draw(DOMAINS, 8, seed=3)


def test_quasirandom_draws_leave_no_part_empty():
  # Of a Halton sequence in base 2, 64 numbers have one in every 64th.
  rows = hyper.quasirandom({'u': hyper.uniform(0, 1)}, 64, seed=5)
  assert sorted(int(64 * row['u']) for row in rows) == list(range(64))
  rows = hyper.random({'u': hyper.uniform(0, 1)}, 64, seed=5)
  assert len({int(64 * row['u']) for row in rows}) < 50


def test_a_choice_is_swept_in_order():
  assert hyper.sweep('k', hyper.choice([3, 1])) == ({'k': 3}, {'k': 1})


def test_values_of_a_choice_are_drawn_alike():
  rows = hyper.quasirandom({'k': hyper.choice(list('abcd'))}, 400)
  counts = {v: sum(row['k'] == v for row in rows) for v in 'abcd'}
  assert all(90 <= count <= 110 for count in counts.values())


@pytest.mark.parametrize(
  ('call', 'words'),
  [
    (lambda: hyper.sweep('config.a', []), ["'config.a'", 'no values']),
    (lambda: hyper.sweep('config.a', 'batch'), ["'batch'", 'list']),
    (lambda: hyper.sweep('config.a', 5), ['5', 'list']),
    (lambda: hyper.sweep(5, [1]), ['5', 'key']),
    (
      lambda: hyper.sweep('config.a', hyper.uniform(0, 1)),
      ['hyper.random', 'hyper.quasirandom'],
    ),
    (lambda: hyper.product([A, A]), ["'config.a'", 'two']),
    (lambda: hyper.zipit([A, A]), ["'config.a'", 'two']),
    (lambda: hyper.zipit([A, B]), ['3, 2 rows']),
    (lambda: hyper.product(A), ['list of sweeps']),
    (lambda: hyper.product([1]), ['1', 'list of sweeps']),
    (lambda: hyper.product([A, ['x']]), ['list of sweeps']),
    (lambda: hyper.product([range(1000)] * 9), ['list of sweeps']),
    (
      lambda: hyper.product([hyper.sweep(k, range(99)) for k in 'abc']),
      ['970,299', '100,000'],
    ),
    (lambda: hyper.logspace(-1, 2, 4), ['-1', 'logarithms']),
    (lambda: hyper.logspace(0, 1, 4), ['above 0']),
    (lambda: hyper.linspace(0, float('inf'), 4), ['finite']),
    (lambda: hyper.linspace(0, 1, 0), ['num=0']),
    (lambda: hyper.linspace(0, 1, 2.5), ['num=2.5']),
    (lambda: hyper.uniform(2, 1), ['rising']),
    (lambda: hyper.loguniform(0, 1), ['above 0']),
    (lambda: hyper.integers(0.5, 2), ['whole']),
    (lambda: hyper.choice([]), ['no values']),
    (lambda: hyper.choice('batch'), ["'batch'", 'list']),
    (lambda: hyper.choice(3), ['3', 'list']),
    (lambda: hyper.fixed('a', 1, 0), ['length=0']),
    (lambda: hyper.fixed('a', 1, 'x'), ["length='x'"]),
    (lambda: hyper.random(3, 2), ['3', 'dictionary']),
    (lambda: hyper.random([DOMAINS], 2), ['dictionary']),
    (lambda: hyper.random(DOMAINS, 2, seed=-1), ['seed=-1']),
    (lambda: hyper.quasirandom(DOMAINS, 2, seed='x'), ["seed='x'"]),
    (lambda: hyper.random({'a': [1, 2]}, 3), ["'a'", '[1, 2]', 'choice']),
    (lambda: hyper.random(DOMAINS, -1), ['num=-1']),
  ],
)
def test_what_makes_no_rows_is_said_in_one_line(call, words):
  with pytest.raises(errors.ConfigError) as error:
    call()
  assert '\n' not in str(error.value)
  for word in words:
    assert word in str(error.value)


rows = st.lists(st.integers(), min_size=1, max_size=4, unique=True)


@given(rows, rows, rows)
def test_sizes_multiply_in_products_and_add_in_chains(a, b, c):
  a, b, c = (
    hyper.sweep(key, values)
    for key, values in zip('abc', (a, b, c), strict=True)
  )
  assert len(hyper.product([a, b, c])) == len(a) * len(b) * len(c)
  assert len(hyper.chainit([a, b, c])) == len(a) + len(b) + len(c)
  # A product of products is the product of all.
  assert hyper.product([hyper.product([a, b]), c]) == hyper.product([a, b, c])
