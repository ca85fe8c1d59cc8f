"""Several runs as one compiled program, over states that are stacked.

Every array has the members as its first axis, [members, ...]. On several
devices each has a share of them, without communication.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import struct
from jax.sharding import Mesh, PartitionSpec

from normlab import data
from normlab.data.memory_feed import Resident
from normlab.program import metrics, training_step
from normlab.program.programs import Hyper, Program
from normlab.training import evaluation
from normlab.training.compiled_calls import CallMetrics, as_call_metrics

Tree = TypeVar('Tree')
AXIS = 'members'


class Stacked(struct.PyTreeNode):
  """The members as training changes them.

  Attributes:
    state: of each member.
    alive: bool [members]; False from the step on whose loss was not finite, and
      the state then remains what it was before that step.
  """

  state: training_step.TrainState
  alive: jax.Array


@functools.partial(
  jax.jit, static_argnames=('program', 'mesh'), donate_argnames='members'
)
def train_steps(
  members: Stacked,
  inputs: Resident,
  standardizer: data.Standardizer,
  hyper: Hyper,
  keys: jax.Array,
  *,
  program: Program,
  mesh: Mesh,
) -> tuple[Stacked, CallMetrics]:
  """`compiled_calls.train_steps` of each member; one ends where its loss does.

  The states are donated.
  """

  def member_steps(member, inputs, standardizer, hyper, key):
    def one(old: Stacked, i: int | jax.Array):
      new, means = training_step.train_step(
        *(old.state, inputs.batch(i), standardizer, hyper.of_step(i), key),
        program=program,
      )
      alive = old.alive & jnp.isfinite(means['loss'])
      kept = jax.tree.map(functools.partial(jnp.where, alive), new, old.state)
      return Stacked(kept, alive), means

    member, means = training_step.repeated(one, member, len(hyper.rates))
    return member, as_call_metrics(means)

  axes = (0, inputs.replace(split=None, orders=0, first=None), None, 0, 0)
  every = over_members(member_steps, axes, mesh)
  return every(members, inputs, standardizer, hyper, keys)


@functools.partial(jax.jit, static_argnames=('program', 'by_batch', 'mesh'))
def batch_totals(
  networks: evaluation.Variables,
  batch: data.Examples,
  valid: jax.Array,
  standardizer: data.Standardizer,
  hyper: Hyper,
  *,
  program: Program,
  by_batch: bool,
  mesh: Mesh,
) -> metrics.Totals:
  """`evaluation.totals_of` of each member's network on the same batch."""

  def one(network, batch, valid, standardizer, hyper):
    return evaluation.totals_of(
      *(network, batch, valid, standardizer),
      model=program.with_numbers(hyper).model,
      by_batch=by_batch,
      own=program.metrics,
    )

  every = over_members(one, (0, None, None, None, 0), mesh)
  return every(networks, batch, valid, standardizer, hyper)


@functools.partial(jax.jit, static_argnames='each')
def parameter_norms(
  params: training_step.Params, *, each: bool
) -> training_step.Metrics:
  """`compiled_calls.parameter_norms` of each member."""
  one = functools.partial(
    training_step.euclidean_norms, 'parameter_norm', each=each
  )
  return jax.vmap(one)(params)


def over_members(
  function: Callable[..., Tree], in_axes: tuple[Any, ...], mesh: Mesh
) -> Callable[..., Tree]:
  """A function of one member as one of all, vectorized on each device.

  Args:
    function: of arrays; called while tracing only.
    in_axes: 0 for each stacked argument, None for each shared one.
  """
  vectorized = jax.vmap(function, in_axes=in_axes)
  if mesh.size == 1:
    return vectorized
  specs = jax.tree.map(
    lambda axis: PartitionSpec(*([] if axis is None else [AXIS])),
    in_axes,
    is_leaf=lambda axis: axis is None,
  )
  return jax.shard_map(
    vectorized,
    mesh=mesh,
    in_specs=specs,
    out_specs=PartitionSpec(AXIS),
    check_vma=False,
  )
