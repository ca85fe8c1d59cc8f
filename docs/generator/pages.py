"""Documents that show results: docs/experiments.md, and marked blocks."""

import importlib
import inspect
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import experiments
from configs import base
from docs.generator import picture
from docs.generator.imports import ROOT
from normlab import records
from normlab.data.sets import sources

DOCS = ROOT / 'docs'
SECTION = re.compile(
  r'^## ([^\n]*)\n(.*?)(?=^## |\Z)', re.DOTALL | re.MULTILINE
)
BLOCK = re.compile(
  r'(<!-- (results/[\w/]+\.md)(?:: (\w+))? -->\n).*?(?=<!-- end -->)', re.DOTALL
)
# Settings that readers look for, and those that change no result.
ALWAYS = ('batch_size', 'optimizer.name')
NEVER = ('label', 'data.data_dir', 'eval_batch_size', 'log_every')
# Of a setting: more are counted, where they follow from the data of each run.
MOST_VALUES = 24
HEADER = """\
# Experiments

Each section is one question; the code is in `experiments/NAME/`. Verdicts come
from exact intervals over seeds, against margins that were declared before the
runs: [the instrument](instrument.md). All of them in one table:
[the claims](../results/claims.md). Settings that are not listed are those of
[configs/base.py](../configs/base.py).

A stopped experiment resumes with the same command, and finished runs are never
trained again. `--tune` tunes the learning rates first; `--plot_only` redraws
from the curves in `WORKDIR/results`, or the committed ones.

This page is generated: `make docs`.
"""


def documents() -> dict[pathlib.Path, str]:
  """All that is generated: path to text."""
  found = {
    path: BLOCK.sub(shown, path.read_text(encoding='utf-8'))
    for path in (ROOT / 'README.md', *DOCS.glob('*.md'))
  }
  sections = [HEADER, *map(section, experiments.EXPERIMENTS)]
  found[DOCS / 'experiments.md'] = '\n'.join(sections)
  found[DOCS / 'imports.svg'] = picture.svg()
  return found


def shown(block: re.Match[str]) -> str:
  """A marked block, with the result, or the part of it, that its mark names."""
  mark, path, name = block.groups()
  return f'{mark}\n{part(path, name)}\n\n'


def part(path: str, heading: str | None) -> str:
  """A section of the text of a result, or all; tables without the padding."""
  text = (ROOT / path).read_text(encoding='utf-8').strip()
  if heading:
    bodies = dict(SECTION.findall(f'{text}\n'))
    text = bodies[heading].strip()
  return re.sub(r'[ ]{2,}(?=\|)', ' ', re.sub(r'\|[:-]{3,}', '|---', text))


def section(name: str) -> str:
  """An experiment: its question, settings, and the results of each scale."""
  experiment = experiments.load(name)
  story = inspect.getdoc(importlib.import_module(f'experiments.{name}'))
  title, _, story = story.partition('\n\n')
  scales = {scale: experiment.all_runs(scale) for scale in experiment.scales}
  texts = [f'## {name}: {title}', story]
  if any(scales.values()):
    texts.append(settings(scales))
  for scale, runs in scales.items():
    texts += [f'### {name}, {scale}', command(name, scale, runs)]
    if (ROOT / f'results/{name}/{scale}.md').exists():
      texts.append(results(name, scale))
    else:
      texts.append('No results yet.')
  return '\n\n'.join(texts) + '\n'


def settings(scales: Mapping[str, Sequence[Any]]) -> str:
  """A table of the fields that are not the base config's, scale by scale."""
  usual = records.flatten(base.get_config())
  values = {}
  for scale, runs in scales.items():
    configs = [records.flatten(run.config) for run in runs]
    for field in usual:
      found = dict.fromkeys(value(config, field) for config in configs)
      values[scale, field] = listed([*found])
  rows = [
    f'| `{field}` | {" | ".join(values[scale, field] for scale in scales)} |'
    for field in usual
    if field in ALWAYS
    or field not in NEVER
    and any(values[scale, field] != value(usual, field) for scale in scales)
  ]
  counts = ' | '.join(f'{len(runs)}' for runs in scales.values())
  head = f'| setting | {" | ".join(scales)} |\n|---{"|---" * len(scales)}|'
  return '\n'.join([head, *rows, f'| runs | {counts} |'])


def listed(found: Sequence[str]) -> str:
  """The values of a field; of very many the first ones, and their number."""
  if len(found) <= MOST_VALUES:
    return ', '.join(found)
  return f'{", ".join(found[:3])}, ... ({len(found)} values)'


def value(config: Mapping[str, Any], field: str) -> str:
  """The value of a field; that of a norm names the norm."""
  found = config[field]
  if found is None:
    return 'default'
  text = f'{found:.4g}' if isinstance(found, float) else f'{found}'
  if field.startswith('norm.') and field != 'norm.name':
    return f'{config["norm.name"]} {text}'
  return text


def command(name: str, scale: str, runs: Sequence[Any]) -> str:
  """The command of a scale, which trains `runs`."""
  needs_data = any(r.config.data.name not in sources.EMBEDDED for r in runs)
  where = ' --data_dir=DIR' if needs_data else ''
  line = f'reproduce.py {name} --scale={scale} --workdir=runs{where}'
  return f'```\npython scripts/{line}\n```'


def results(name: str, scale: str) -> str:
  """The figure and the sections that the program wrote."""
  path = f'results/{name}/{scale}'
  text = part(f'{path}.md', None)
  # One heading level below that of the scale.
  return f'![{name}, {scale}](../{path}.png)\n\n{text}'.replace(
    '\n## ', '\n#### '
  )
