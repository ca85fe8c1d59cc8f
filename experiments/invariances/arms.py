"""The arms, the changes, the papers' table and the limit cases: data."""

from typing import Any, NamedTuple

from experiments.base import Scale

# What an invariant quantity may deviate, and what a changed one at least
# deviates, relative to its largest entry; declared before the measurement.
SAME, OTHER = 1e-4, 1e-2
SCALES = {'digits': Scale(seeds=tuple(range(10)))}
# Far below the rounding of the variances here, which are about one: it decides
# nothing. Above 0, as the deviation of one value, in EvoNorm-B0 after a dense
# layer, has no derivative at 0.
EPSILON = 1e-30
# No power of two, by which all would be exact.
FACTOR = 3.0
CASES, INPUTS, UNITS, SIZE = 8, 5, 8, 4

DENSE, CONVOLUTION = 'dense layer', 'convolution'
LAYERS = (DENSE, CONVOLUTION)
RESCALED_WEIGHTS = 'rescaled weights'
CHANGES = (
  RESCALED_WEIGHTS,
  'recentred weights',
  'one rescaled unit',
  'rescaled data',
  'recentred data',
  'one rescaled case',
)
# What is compared: the output, and the gradients of a loss of it.
QUANTITIES = ('output', 'gradient of the weights', 'gradient of the data')
# The change of a limit case, and of the theorem: two formulas of one thing.
EQUAL = 'equal'


class NormArm(NamedTuple):
  """A layer with a norm.

  Attributes:
    name: a key of `norms.NORMS`.
    fields: of its constructor.
    needs_space: makes nothing of vectors: it has statistics of single values.
    paper: its row of the papers' table, y and n in the order of `CHANGES`.
  """

  name: str
  fields: dict[str, Any] = {}
  needs_space: bool = False
  paper: str = ''

  def is_measured(self, layer: str) -> bool:
    """Whether its cells after a kind of layer say something."""
    return layer == CONVOLUTION or not self.needs_space


ARMS: dict[str, NormArm] = {
  'identity': NormArm('none'),
  'scale and bias': NormArm('scale_bias'),
  'noise': NormArm('noise'),
  'BatchNorm': NormArm('batch', paper='ynyyyn'),
  'noisy BatchNorm': NormArm('noisy_batch'),
  'BatchNorm, l1': NormArm('lp_batch'),
  'BatchNorm, l1 uncentred': NormArm('lp_batch', {'convention': 'literal'}),
  'BatchRenorm, at first': NormArm('batch_renorm'),
  'BatchRenorm, r up to 3': NormArm(
    'batch_renorm', {'r_max': 3.0, 'd_max': 5.0}
  ),
  'mean-only BatchNorm': NormArm('mean_only_batch'),
  'LayerNorm': NormArm('layer', paper='yynyny'),
  'RMSNorm': NormArm('rms', paper='ynnyny'),
  'GroupNorm(1)': NormArm('group', {'num_groups': 1}),
  'GroupNorm(2)': NormArm('group', {'num_groups': 2}),
  'InstanceNorm': NormArm('instance', needs_space=True),
  'SwitchableNorm': NormArm('switchable'),
  'filter response norm': NormArm('filter_response', needs_space=True),
  'EvoNorm-B0': NormArm('evonorm_b0'),
  'EvoNorm-S0': NormArm('evonorm_s0', {'num_groups': 2}),
  'dynamic tanh': NormArm('dynamic_tanh'),
  'WeightNorm': NormArm('weight', paper='ynynnn'),
  'WeightNorm, mean-only BN': NormArm('weight', {'mean_only_batch_norm': True}),
  'weight standardization': NormArm('weight_standardization'),
  'spectral norm': NormArm('spectral'),
}
PAPER = {name: arm.paper for name, arm in ARMS.items() if arm.paper}


class Limit(NamedTuple):
  """Two norms that are compared, after a convolution.

  Attributes:
    first: of the one norm.
    second: of the other.
    cases: in the batch.
    equal: whether claim 27 says that they are; else it is the control.
  """

  first: NormArm
  second: NormArm
  cases: int
  equal: bool


WHOLE_EXAMPLE = NormArm('layer', {'reduction_axes': (1, 2, 3)})
LIMITS: dict[str, Limit] = {
  'GroupNorm(1) and LayerNorm': Limit(
    ARMS['GroupNorm(1)'], WHOLE_EXAMPLE, CASES, True
  ),
  'GroupNorm(C) and InstanceNorm': Limit(
    NormArm('group', {'num_groups': UNITS}), ARMS['InstanceNorm'], CASES, True
  ),
  'BatchNorm of one case and InstanceNorm': Limit(
    ARMS['BatchNorm'], ARMS['InstanceNorm'], 1, True
  ),
  'GroupNorm(2) and LayerNorm': Limit(
    ARMS['GroupNorm(2)'], WHOLE_EXAMPLE, CASES, False
  ),
  'GroupNorm(2) and InstanceNorm': Limit(
    ARMS['GroupNorm(2)'], ARMS['InstanceNorm'], CASES, False
  ),
  'BatchNorm of two cases and InstanceNorm': Limit(
    ARMS['BatchNorm'], ARMS['InstanceNorm'], 2, False
  ),
}
THEOREM = 'Theorem 4.1 with 1/m'
PRINTED = 'Theorem 4.1 as printed, with 1/sqrt(m)'
