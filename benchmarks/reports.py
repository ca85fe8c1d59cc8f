"""Reports as Markdown: how it was measured, then tables."""

import datetime
import importlib.metadata
import importlib.util
import pathlib
import platform
from collections.abc import Iterable, Sequence

import jax

from normlab.sweeps.runners import processes


def report(
  header: Sequence[str], rows: Iterable[Sequence[str]], **settings: str
) -> str:
  """The settings, the machine, the versions and the date; then one table."""
  return f'{measured_with(**settings)}\n\n{table(header, rows)}'


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
  """A table."""
  head, *body = [f'| {" | ".join(line)} |' for line in (header, *rows)]
  return '\n'.join([head, '|---' * len(header) + '|', *body])


def measured_with(**settings: str) -> str:
  """A table of the settings, the machine, the versions and the date."""
  cores = len(processes.usable_cores())
  device = jax.devices()[0].device_kind
  settings['machine'] = f'{cpu_name()}, {cores} cores, device {device}'
  settings['versions'] = ', '.join(
    f'{name} {importlib.metadata.version(name)}'
    for name in ('jax', 'flax', 'torch')
    if importlib.util.find_spec(name)
  )
  settings['date'] = f'{datetime.date.today()}'
  return table(('measured with', ''), settings.items())


def cpu_name() -> str:
  """The processor's name for itself, where the system has it."""
  cpuinfo = pathlib.Path('/proc/cpuinfo')
  lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
  names = (line.partition(':')[2] for line in lines if 'model name' in line)
  return next(names, platform.processor() or platform.machine()).strip()
