"""Normalization layers for Flax linen, and the table of their names.

from normlab import norms
norms.BatchNorm(momentum=0.9)              # a layer, as in flax.linen
norm = norms.build(name='group', num_groups=8)   # a factory, for a model
norm(name='norm1')(x, use_running_average=not train)
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from flax import linen as nn

from normlab import errors, registry
from normlab.norms.batch import BatchNorm
from normlab.norms.dynamic_tanh import DynamicTanh
from normlab.norms.evonorm import EvoNormB0, EvoNormS0
from normlab.norms.factory import Hooks, NormFactory
from normlab.norms.filter_response import (
  FilterResponseNorm,
  ThresholdedLinearUnit,
)
from normlab.norms.group import GroupNorm, InstanceNorm
from normlab.norms.identity import Identity
from normlab.norms.kernels.kernel_norms import KernelNorm
from normlab.norms.kernels.spectral import SpectralNorm
from normlab.norms.kernels.spectral_penalty import (
  spectral_penalty,
  spectral_state,
)
from normlab.norms.kernels.weight import WeightNorm, initialize_from_data
from normlab.norms.kernels.weight_standardization import WeightStandardization
from normlab.norms.layer import LayerNorm
from normlab.norms.lp import LpBatchNorm
from normlab.norms.mean_only import MeanOnlyBatchNorm
from normlab.norms.noise import DistributionalNoise, NoisyBatchNorm
from normlab.norms.renorm import PAPER_D_MAX, PAPER_R_MAX, BatchRenorm, Ramp
from normlab.norms.rms import RMSNorm
from normlab.norms.scale_bias import ScaleBias
from normlab.norms.switchable import SwitchableNorm
from normlab.norms.trained.folding import fold, fold_layer
from normlab.norms.trained.mixing import apply_with_mixed_statistics
from normlab.norms.trained.recalibration import recalibrate

__all__ = [
  'ACTIVATION_NORMS',
  'KERNEL_NORMS',
  'NORMS',
  'PAPER_D_MAX',
  'PAPER_R_MAX',
  'BatchNorm',
  'BatchRenorm',
  'DistributionalNoise',
  'DynamicTanh',
  'EvoNormB0',
  'EvoNormS0',
  'FilterResponseNorm',
  'GroupNorm',
  'Hooks',
  'Identity',
  'InstanceNorm',
  'KernelNorm',
  'LayerNorm',
  'LpBatchNorm',
  'MeanOnlyBatchNorm',
  'NoisyBatchNorm',
  'NormFactory',
  'RMSNorm',
  'Ramp',
  'ScaleBias',
  'SpectralNorm',
  'SwitchableNorm',
  'ThresholdedLinearUnit',
  'WeightNorm',
  'WeightStandardization',
  'apply_with_mixed_statistics',
  'build',
  'fields_of',
  'fold',
  'fold_layer',
  'initialize_from_data',
  'recalibrate',
  'spectral_penalty',
  'spectral_state',
]

# Called on an activation.
ACTIVATION_NORMS: dict[str, type[nn.Module]] = {
  'none': Identity,
  'scale_bias': ScaleBias,
  'noise': DistributionalNoise,
  'batch': BatchNorm,
  'batch_renorm': BatchRenorm,
  'lp_batch': LpBatchNorm,
  'noisy_batch': NoisyBatchNorm,
  'mean_only_batch': MeanOnlyBatchNorm,
  'layer': LayerNorm,
  'group': GroupNorm,
  'instance': InstanceNorm,
  'rms': RMSNorm,
  'switchable': SwitchableNorm,
  'filter_response': FilterResponseNorm,
  'evonorm_b0': EvoNormB0,
  'evonorm_s0': EvoNormS0,
  'dynamic_tanh': DynamicTanh,
}

# Called on a layer, whose kernel they normalize.
KERNEL_NORMS: dict[str, type[KernelNorm]] = {
  'weight': WeightNorm,
  'spectral': SpectralNorm,
  'weight_standardization': WeightStandardization,
}

NORMS: dict[str, type[nn.Module]] = {**ACTIVATION_NORMS, **KERNEL_NORMS}

# The pair of 1602.07868, section 4: weight norm sets the scale of each layer,
# mean-only BatchNorm its mean.
MEAN_ONLY = 'mean_only_batch_norm'


def build(name: str, **fields: Any) -> Hooks:
  """The factories of a norm, for the two hooks of a model.

  One of them is None unless the name, a key of `NORMS` or the import path of a
  layer, fills both. Fields are those of its constructor; lists are taken as
  tuples. 'weight' also has `mean_only_batch_norm`: True adds
  `MeanOnlyBatchNorm` as the norm of the activations, and takes the fields of
  that too.

  Raises:
    errors.ConfigError: an unknown name or field; lists the known ones; an
      import that fails.
  """
  layer = class_of(name)
  registry.check_fields(f'norm {name!r}', fields, fields_of(name))
  if not issubclass(layer, KernelNorm):
    return Hooks(norm=factory(layer, fields))
  mean_only = fields.pop(MEAN_ONLY, False)
  own = {k: v for k, v in fields.items() if k in _constructor_fields(layer)}
  if not mean_only:
    for field in fields.keys() - own.keys():
      raise errors.ConfigError(
        f'norm {name!r}: {field}={fields[field]!r} is a field of the norm that '
        f'{MEAN_ONLY}=True adds; got {MEAN_ONLY}={mean_only!r}'
      )
    return Hooks(kernel_norm=factory(layer, own))
  known = _constructor_fields(MeanOnlyBatchNorm)
  rest = {k: v for k, v in fields.items() if k in known}
  return Hooks(factory(MeanOnlyBatchNorm, rest), factory(layer, own))


def factory(layer: type[nn.Module], fields: Mapping[str, Any]) -> NormFactory:
  """The factory of a layer with these fields."""
  return NormFactory(
    layer, tuple(sorted((k, hashable(v)) for k, v in fields.items()))
  )


def class_of(name: str) -> type[nn.Module]:
  """The class of a norm, by its name in `NORMS` or its import path.

  Raises:
    errors.ConfigError: an unknown name, an import that fails, or own code that
      is no layer.
  """
  layer = registry.find('norm', name, NORMS)
  if not (isinstance(layer, type) and issubclass(layer, nn.Module)):
    raise errors.ConfigError(
      f'norm {name!r} is {errors.shown(layer)}; must be a class of '
      'flax.linen.Module'
    )
  return layer


def fields_of(name: str) -> list[str]:
  """The fields that `build` takes for a norm, by its name.

  Raises:
    errors.ConfigError: as `class_of`.
  """
  known = set(_constructor_fields(class_of(name)))
  if name == 'weight':
    known |= {MEAN_ONLY, *_constructor_fields(MeanOnlyBatchNorm)}
  return sorted(known)


def _constructor_fields(layer: type[nn.Module]) -> list[str]:
  return [
    field.name
    for field in dataclasses.fields(layer)
    if field.init and field.name not in ('name', 'parent', 'layer_instance')
  ]


def hashable(value: Any) -> Any:
  """Lists, also within lists, as tuples; anything else as it is."""
  if isinstance(value, list | tuple):
    return tuple(map(hashable, value))
  return value
