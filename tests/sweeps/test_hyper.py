import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from normlab import errors
from normlab.sweeps.language import hyper

A = hyper.sweep('config.a', [1, 2, 3])
B = hyper.sweep('config.b', ['x', 'y'])
D = hyper.fixed('config.d', 7)


@pytest.mark.parametrize(
  ('rows', 'expected'),
  [
    (A, [{'config.a': 1}, {'config.a': 2}, {'config.a': 3}]),
    (
      # The last varies fastest.
      hyper.product([A, B]),
      [{'config.a': a, 'config.b': b} for a in (1, 2, 3) for b in 'xy'],
    ),
    (hyper.product([]), [{}]),
    (hyper.product([A, D]), [{**a, 'config.d': 7} for a in A]),
    (hyper.zipit([A, D]), [{**a, 'config.d': 7} for a in A]),
    (
      hyper.zipit([A, hyper.sweep('config.c', (4.0, 5.0, 6.0))]),
      [{'config.a': a, 'config.c': a + 3.0} for a in (1, 2, 3)],
    ),
    (hyper.fixed('config.d', 7, length=2), [{'config.d': 7}] * 2),
    (hyper.chainit([A, B]), [*A, *B]),
  ],
)
def test_each_call_makes_its_rows(rows, expected):
  assert list(rows) == expected


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


@pytest.mark.parametrize(
  ('call', 'words'),
  [
    (lambda: hyper.sweep('config.a', []), ["'config.a'", 'no values']),
    (lambda: hyper.sweep('config.a', 'batch'), ["'batch'", 'list']),
    (lambda: hyper.sweep('config.a', 5), ['5', 'list']),
    (lambda: hyper.sweep(5, [1]), ['5', 'key']),
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
    (lambda: hyper.logspace(1, float('inf'), 4), ['finite']),
    (lambda: hyper.logspace(1, 'x', 4), ["'x'", 'finite']),
    (lambda: hyper.logspace(1, 2, 0), ['num=0']),
    (lambda: hyper.logspace(1, 2, 2.5), ['num=2.5']),
    (lambda: hyper.fixed('a', 1, 0), ['length=0']),
    (lambda: hyper.fixed('a', 1, 'x'), ["length='x'"]),
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
