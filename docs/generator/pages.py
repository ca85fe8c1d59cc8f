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

DOCS = ROOT / 'docs'
# The parts of a result's text, in its order.
PARTS = ('outcomes', 'verdicts', 'caption')
BLOCK = re.compile(
  r'(<!-- (results/[\w/]+\.md)(?:: (\w+))? -->\n).*?(?=<!-- end -->)', re.DOTALL
)
# Settings that readers look for, and those that change no result.
ALWAYS = ('batch_size', 'optimizer.name')
NEVER = ('label', 'data.data_dir', 'eval_batch_size', 'log_every')
HEADER = """\
# Experiments

Each section is one question; the code is in `experiments/NAME/`. A claim holds
if every seed agrees, does not hold here if none does, and is inconclusive
otherwise. Settings that are not listed are those of
[configs/base.py](../configs/base.py).

A stopped experiment resumes with the same command, finished runs are never
trained again, and `--plot_only` redraws from the records.

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


def part(path: str, name: str | None) -> str:
  """A part of the text of a result, or all; tables without the padding."""
  text = (ROOT / path).read_text(encoding='utf-8').strip()
  found = text.split('\n\n')[PARTS.index(name)] if name else text
  return re.sub(r'[ ]{2,}(?=\|)', ' ', re.sub(r'\|[:-]{3,}', '|---', found))


def section(name: str) -> str:
  """An experiment: its question, settings, and the results of each scale."""
  experiment = importlib.import_module(f'experiments.{name}')
  title, _, story = inspect.getdoc(experiment).partition('\n\n')
  scales = {scale: experiment.runs(scale) for scale in experiment.SCALES}
  texts = [f'## {name}: {title}', story, settings(scales)]
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
      values[scale, field] = ', '.join(found)
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
  """The command, and how long it takes."""
  story = inspect.getdoc(importlib.import_module(f'configs.{name}.{scale}'))
  time = re.search(r'^Time: .*?(?=\n\n)', story, re.DOTALL | re.MULTILINE)[0]
  where = '' if runs[0].config.data.name == 'digits' else ' --data_dir=DIR'
  line = f'reproduce.py {name} --scale={scale} --workdir=runs{where}'
  return f'{time}\n\n```\npython scripts/{line}\n```'


def results(name: str, scale: str) -> str:
  """The figure and the tables that the program wrote."""
  path = f'results/{name}/{scale}'
  tables = [part(f'{path}.md', each) for each in ('outcomes', 'verdicts')]
  return '\n\n'.join([f'![{name}, {scale}](../{path}.png)', *tables])
