"""Normalization layers for Flax linen, and the table of their names.

from normlab import norms
norms.BatchNorm(momentum=0.9)              # a layer, as in flax.linen
norm = norms.build(name='group', num_groups=8)   # a factory, for a model
norm(name='norm1')(x, use_running_average=not train)
"""

import dataclasses
from typing import Any

from flax import linen as nn

from normlab import names
from normlab.norms.batch import BatchNorm
from normlab.norms.group import GroupNorm, InstanceNorm
from normlab.norms.identity import Identity
from normlab.norms.layer import LayerNorm
from normlab.norms.renorm import PAPER_D_MAX, PAPER_R_MAX, BatchRenorm, Ramp
from normlab.norms.rms import RMSNorm

__all__ = [
  'NORMS',
  'PAPER_D_MAX',
  'PAPER_R_MAX',
  'BatchNorm',
  'BatchRenorm',
  'GroupNorm',
  'Identity',
  'InstanceNorm',
  'LayerNorm',
  'NormFactory',
  'RMSNorm',
  'Ramp',
  'build',
  'fields_of',
]

NORMS: dict[str, type[nn.Module]] = {
  'none': Identity,
  'batch': BatchNorm,
  'batch_renorm': BatchRenorm,
  'layer': LayerNorm,
  'group': GroupNorm,
  'instance': InstanceNorm,
  'rms': RMSNorm,
}


@dataclasses.dataclass(frozen=True)
class NormFactory:
  """Makes the norms of a model; equal and hashable by value.

  Two factories with the same class and fields are the same argument to
  `jax.jit`, so that runs which differ in numbers only share compiled programs.

  Attributes:
    layer: the class of the norm.
    fields: its constructor's fields, as sorted pairs.
  """

  layer: type[nn.Module]
  fields: tuple[tuple[str, Any], ...] = ()

  def __call__(self, **kwargs: Any) -> nn.Module:
    """A layer; `kwargs` (`name`, `scale_init`, ...) go before the fields."""
    return self.layer(**{**dict(self.fields), **kwargs})

  @property
  def replaces_bias(self) -> bool:
    """Whether a model leaves out the bias of the layer in front."""
    return self.layer.replaces_bias


def build(name: str, **fields: Any) -> NormFactory:
  """The factory of a norm, as a model receives it.

  Args:
    name: a key of `NORMS`.
    **fields: constructor fields of that norm; lists are taken as tuples.

  Raises:
    names.ConfigError: an unknown name or field; lists the known ones.
  """
  layer = names.lookup('norm', name, NORMS)
  names.check_fields(f'norm {name!r}', fields, fields_of(name))
  return NormFactory(
    layer, tuple(sorted((k, hashable(v)) for k, v in fields.items()))
  )


def fields_of(name: str) -> list[str]:
  """The constructor fields of a norm, by its name in `NORMS`.

  Raises:
    names.ConfigError: an unknown name; lists the known ones.
  """
  return sorted(
    field.name
    for field in dataclasses.fields(names.lookup('norm', name, NORMS))
    if field.init and field.name not in ('name', 'parent')
  )


def hashable(value: Any) -> Any:
  """Lists, also within lists, as tuples; anything else as it is."""
  if isinstance(value, list | tuple):
    return tuple(map(hashable, value))
  return value
