import pytest
from convolved import arrays, assert_equal, values_and_gradients
from hypothesis import given, settings
from hypothesis import strategies as st

from normlab.models.ops import convolution_forms

FORMS = (
  convolution_forms.plain,
  convolution_forms.padded,
  convolution_forms.patches,
  convolution_forms.taps,
)


def pairs(low, high):
  return st.tuples(st.integers(low, high), st.integers(low, high))


@given(
  sizes=pairs(3, 6),
  kernel=pairs(1, 3),
  strides=pairs(1, 2),
  padding=st.tuples(pairs(0, 2), pairs(0, 2)),
)
@settings(max_examples=2, deadline=None)
def test_all_forms_are_the_convolution(sizes, kernel, strides, padding):
  if sizes[0] + sum(padding[0]) < kernel[0]:
    padding = ((0, 0), padding[1])
  x, k = arrays((2, *sizes, 3), (*kernel, 3, 2))
  assert_equal(values_and_gradients(FORMS, x, k, strides, padding))


@pytest.mark.parametrize('strides', [(1, 1), (2, 2)])
def test_blocks_of_neighbours_are_the_convolution(strides):
  x, k = arrays((2, 3, 16, 2), (3, 2, 2, 3))
  both = convolution_forms.plain, convolution_forms.blocked
  padding = ((1, 1), (0, 1))
  assert_equal(values_and_gradients(both, x, k, strides, padding))


def test_a_kernel_larger_than_the_images_has_no_positions():
  x, k = arrays((2, 2, 3, 1), (3, 3, 1, 1))
  padding = ((0, 0), (0, 0))
  sizes = convolution_forms.out_sizes(x.shape, k.shape, (2, 2), padding)
  assert (
    sizes == convolution_forms.plain(x, k, (2, 2), padding).shape[1:3] == (0, 1)
  )
