"""Writes all generated text: python -m docs.generator."""

from docs.generator import pages

for path, text in pages.documents().items():
  path.write_text(text, encoding='utf-8')
