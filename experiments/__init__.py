"""Experiments: one folder per question, listed here by name."""

import importlib
from typing import Any

EXPERIMENTS: dict[str, str] = {
  'speedup': (
    'How many steps does BatchNorm save Inception? (1502.03167 Fig. 2)'
  ),
  'lr_multipliers': (
    'How far can the learning rate be turned up, with each norm?'
  ),
  'sigmoid_mlp': (
    'What does BatchNorm change in a network of sigmoids? (1502.03167 Fig. 1)'
  ),
  'covariate_shift': (
    'Does BatchNorm reduce internal covariate shift? (1805.11604 Fig. 3)'
  ),
  'noisy_batch_norm': (
    'Does noise on the distributions undo BatchNorm? (1805.11604 Fig. 2)'
  ),
  'landscape': 'Is the loss smoother with BatchNorm? (1805.11604 Fig. 4, 5)',
  'valley': 'Why does it help to standardize the inputs?',
  'invariances': 'Which changes of weights and data does each norm not see?',
}


def load(name: str) -> Any:
  """The `base.Experiment` of a name; imports it."""
  return importlib.import_module(f'experiments.{name}').EXPERIMENT


def load_all() -> dict[str, tuple[str, Any]]:
  """Name to question and experiment."""
  return {
    name: (question, load(name)) for name, question in EXPERIMENTS.items()
  }
