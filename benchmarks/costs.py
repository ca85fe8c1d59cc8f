"""The time of a compiled training step by kind of operation, from a trace."""

import collections
import pathlib
import re
import tempfile
from collections.abc import Iterator, Mapping

import jax

from benchmarks.timing import Stepper

# An operation's kind is the first whose pattern matches its names: paths in the
# traced program, as 'jit(train_steps)/transpose(jvp(CNN))/layer1/...', where
# 'transpose' is the backward pass.
KINDS = {
  'convolution gradients': r'transpose\(jvp.*/conv|^unnamed convolution$',
  'convolutions': r'/conv',
  'norms': r'/norm|BatchNorm',
  'pooling': r'max_pool|mean_pool|downsample/',
  'rest of the model': r'jvp\(',
  'batch, optimizer, metrics': r'.',
}
UNNAMED = 'copies'

INSTRUCTION = re.compile(r'^\s*(?:ROOT )?%?([\w.\-]+) = (.*)$')
COMPUTATION = re.compile(r'^(ENTRY )?%?([\w.\-]+) .*\{$')
CALLED = re.compile(r'(?:calls|to_apply)=%?([\w.\-]+)')
NAME = re.compile(r'op_name="([^"]*)"')


def by_kind(stepper: Stepper, steps: int) -> dict[str, float]:
  """Seconds per step of each kind of operation, the largest first.

  Operations may run beside each other: the sum is then more than the step.

  Args:
    stepper: has run before, and has a `program_text`.
    steps: to trace, at least.
  """
  kinds = kinds_of(stepper.program_text())
  seconds: collections.Counter[str] = collections.Counter()
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder):
      made = stepper.run(steps)
    for operation, duration in operations(pathlib.Path(folder)):
      if operation in kinds:  # Others are inside these.
        seconds[kinds[operation]] += duration / made
  return dict(seconds.most_common())


def operations(folder: pathlib.Path) -> Iterator[tuple[str, float]]:
  """The compiled operations in a trace, with seconds each."""
  (path,) = folder.rglob('*.xplane.pb')
  for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
    for line in plane.lines:
      for event in line.events:
        operation = dict(event.stats).get('hlo_op')
        if operation is not None:
          yield operation, event.duration_ns / 1e9


def kinds_of(program_text: str) -> dict[str, str]:
  """The kind of each operation that XLA runs by itself, from its program."""
  computations = dict(computations_of(program_text))
  kinds = {}
  for operation, text in computations.pop('ENTRY').items():
    names = names_in(text, computations)
    found = (k for k, rule in KINDS.items() if re.search(rule, names, re.M))
    kinds[operation] = next(found, UNNAMED)
  return kinds


def names_in(text: str, computations: Mapping[str, Mapping[str, str]]) -> str:
  """The names of an operation; if it has none, those of its parts."""
  if name := NAME.search(text):
    return name[1]
  if ' convolution(' in text:
    return 'unnamed convolution'  # XLA drops the name of a kernel's gradient.
  called = CALLED.search(text)
  parts = computations.get(called[1], {}) if called else {}
  return '\n'.join(names_in(part, computations) for part in parts.values())


def computations_of(program_text: str) -> Iterator[tuple[str, dict[str, str]]]:
  """The computations by name ('ENTRY' is the program): instructions by name."""
  found: dict[str, str] = {}
  for line in program_text.splitlines():
    if head := COMPUTATION.match(line):
      found = {}
      yield 'ENTRY' if head[1] else head[2], found
    elif instruction := INSTRUCTION.match(line):
      found[instruction[1]] = instruction[2]


def sentence(seconds: Mapping[str, float]) -> str:
  """The shares of the kinds, as 'convolutions 60% (1.2 ms), norms ...'."""
  total = sum(seconds.values())
  return ', '.join(
    f'{kind} {time / total:.0%} ({1e3 * time:.2f} ms)'
    for kind, time in seconds.items()
  )
