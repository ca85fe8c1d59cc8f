"""The documents: what they show is current, and where they point exists."""

import re

import pytest

import experiments
from docs.generator import pages
from normlab import norms

GENERATED = pages.documents()
DOCUMENTS = (
  'README.md',
  *(f'docs/{p.name}' for p in pages.DOCS.glob('*.md')),
  *(f'results/{p.name}' for p in pages.ROOT.glob('results/*.md')),
)
LINK = re.compile(r'\]\(([^)#\s]*)(?:#([^)]*))?\)')
# Files of ours that prose or a command names; NAME and * are to be filled in.
FILE = re.compile(
  r'\b(?:normlab|configs|scripts|tests|experiments|results)/[\w/*]+\.(?:py|md)\b'
)


def anchors(text: str) -> set[str]:
  """What a code host makes of headings."""
  titles = re.findall(r'^#+ (.*)$', text, re.MULTILINE)
  return {re.sub(r'[^\w -]', '', t).lower().replace(' ', '-') for t in titles}


@pytest.mark.parametrize('path', GENERATED, ids=lambda p: p.name)
def test_what_is_generated_is_current(path):
  # If not: make docs.
  assert path.read_text(encoding='utf-8') == GENERATED[path]


def test_every_result_is_shown(root):
  shown = ''.join(GENERATED.values())
  for path in (root / 'results').rglob('*.png'):
    assert re.search(rf'\]\((\.\./)?{path.relative_to(root)}\)', shown)
  for path in (root / 'results' / 'benchmarks').iterdir():
    assert f'<!-- {path.relative_to(root)} -->' in shown


def test_a_part_of_a_result_is_that_under_its_heading(tmp_path):
  path = tmp_path / 'result.md'
  path.write_text('## Outcomes\n\n| a   |\n|:----|\n\n## Verdicts\n\ntext\n')
  assert pages.part(str(path), 'Outcomes') == '| a |\n|---|'
  assert pages.part(str(path), 'Verdicts') == 'text'
  whole = pages.part(str(path), None)
  assert whole.startswith('## Outcomes') and whole.endswith('text')


def test_every_scale_of_an_experiment_has_its_command_and_settings():
  for name in experiments.EXPERIMENTS:
    text = pages.section(name)
    for scale in experiments.load(name).scales:
      assert f'### {name}, {scale}\n' in text
      assert f'reproduce.py {name} --scale={scale} --workdir=runs' in text
    rates = re.findall(r'^\| `optimizer.learning_rate` \|(.*)', text, re.M)
    # What is computed has no settings.
    is_trained = experiments.load(name).compute is None
    assert [rate.count('|') for rate in rates] == (
      [len(experiments.load(name).scales)] if is_trained else []
    )


@pytest.mark.parametrize('name', DOCUMENTS)
def test_links_lead_somewhere(root, name):
  here = root / name
  for target, anchor in LINK.findall(here.read_text(encoding='utf-8')):
    if not target.startswith('https://'):
      there = (here.parent / target) if target else here
      assert there.exists(), target
      if anchor:
        assert anchor in anchors(there.read_text(encoding='utf-8')), anchor


@pytest.mark.parametrize('name', DOCUMENTS)
def test_files_that_are_named_exist(root, name):
  for path in FILE.findall((root / name).read_text(encoding='utf-8')):
    if not {'NAME', 'SCALE'} & {*re.split(r'\W|_(?=NAME)', path)}:
      assert list(root.glob(path)), path


@pytest.mark.parametrize('name', ['README.md', 'docs/norms.md'])
def test_every_norm_is_named(root, name):
  text = (root / name).read_text(encoding='utf-8')
  assert not {*norms.NORMS} - {*re.findall(r'`(\w+)`', text)}
