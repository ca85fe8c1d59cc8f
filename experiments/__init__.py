"""Experiments: one folder per question, listed here by name."""

EXPERIMENTS: dict[str, str] = {
  'speedup': (
    'How many steps does BatchNorm save Inception? (1502.03167 Fig. 2)'
  ),
  'lr_multipliers': (
    'How far can the learning rate be turned up, with each norm?'
  ),
}
