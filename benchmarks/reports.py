"""Reports as Markdown: how it was measured, then tables."""

import datetime
from collections.abc import Iterable, Sequence

from normlab.runtime import machine


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
  settings['machine'] = machine.machine()
  settings['versions'] = machine.versions('jax', 'flax', 'torch')
  settings['date'] = f'{datetime.date.today()}'
  return table(('measured with', ''), settings.items())
