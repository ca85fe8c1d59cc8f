"""A linear map to learn: x ~ N(0, I), y = A x, with A Gaussian, 10 x 10.

The synthetic data of the deep linear network of arXiv:1805.11604 (section 3 and
appendix A). The paper gives no variance for A: its numbers are N(0, 1) here.
"""

import numpy as np

from normlab.data.sets import regressions

OUTPUTS = 10
# Further draws of A and x: 'linear_map/1'.
SEEDS = range(10)


def splits(seed: int = 0) -> regressions.Splits:
  """Features and targets of each split, without noise.

  Args:
    seed: of A and all x; 0 is `linear_map` itself.

  Returns:
    Split to float32 [examples, 1, 1, 10] and float32 [examples, 10].
  """
  generator = np.random.default_rng(seed)
  matrix = generator.normal(size=(OUTPUTS, regressions.FEATURES))
  return {
    split: regressions.split_of(x, x @ matrix.T)
    for split, x in regressions.normal_splits(generator).items()
  }
