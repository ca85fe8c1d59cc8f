"""What the probe saw of each layer, as numbers and as a table."""

import math

import numpy as np
import pandas as pd

from experiments.covariate_shift.runs import ARMS, CNN, LINEAR
from normlab.analysis import tables
from normlab.analysis.outcomes import NOTHING, spread
from normlab.records import Record

# Where a network has converged: outcomes are measured before. Later all of its
# gradients are small, and so is their difference (as in the paper, at its lower
# rate). Of the squared error, a tenth of that of predicting zero, 92.
CONVERGED = {
  CNN: lambda run: run['train_accuracy'] >= 0.9,
  LINEAR: lambda run: run['train_loss'] <= 9.2,
}
# As the two layers of Figure 3: #5 and #10 of 13, #9 and #17 of 25.
SHOWN = {CNN: ('layer3', 'layer5'), LINEAR: ('layer9', 'layer17')}
# By definition, its gradient does not change.
FIRST = 'layer1'
TRAINED = ['train_accuracy', 'train_loss']


def measure(record: Record) -> pd.DataFrame:
  """By step, 'difference/layer2', ..., 'cosine/...', 'train_loss' and 'rate'.

  A classifier has 'train_accuracy' too.
  """
  probe = record.probe('covariate_shift')
  steps = probe.pop('step')
  measured = pd.DataFrame(probe, index=steps)
  trained = tables.training(record)
  trained = trained[[name for name in TRAINED if name in trained]]
  optimizer = record.config['optimizer']
  rate = optimizer['learning_rate'] * optimizer['learning_rate_multiplier']
  return measured.join(trained).assign(rate=rate)


def of_layers(run: pd.DataFrame, quantity: str) -> pd.DataFrame:
  """'difference' or 'cosine': one row a measurement, one column a layer.

  Args:
    run: rows of one network, with the columns of `measure`.

  Returns:
    By step, in the order of the layers, which are named without the quantity.
  """
  own = run.set_index('step').filter(regex=f'^{quantity}/')
  own = own.dropna(how='all').dropna(axis=1, how='all')
  own.columns = [name.removeprefix(f'{quantity}/') for name in own]
  return own[sorted(own, key=number)]


def number(layer: str) -> float:
  """The place of a layer; the logits are last."""
  place = layer.removeprefix('layer')
  return float(place) if place.isdigit() else math.inf


def shifts(run: pd.DataFrame) -> dict[str, float]:
  """The covariate shift of one run until it has converged.

  Args:
    run: its rows, with the columns of `measure`.

  Returns:
    'gradient_difference' and 'gradient_cosine': the median over measurements
    of each layer but the first; of these the geometric mean, and the mean.
    'lower_...' and 'upper_...', those of the layers of `SHOWN`.
    'first_difference', the largest of the first layer at any time, a control.
    'rate'; 'measured_until', the last step that counts.
  """
  network = ARMS[run['arm'].iloc[0]].network
  early = before_convergence(run, network)
  found = {
    'rate': run['rate'].max(),
    'measured_until': float(of_layers(early, 'cosine').index.max()),
    'first_difference': of_layers(run, 'difference')[FIRST].max(),
  }
  for quantity, mean in (('difference', geometric_mean), ('cosine', np.mean)):
    middle = of_layers(early, quantity).median()
    found[f'gradient_{quantity}'] = float(mean(middle.drop(FIRST)))
    for place, layer in zip(('lower', 'upper'), SHOWN[network], strict=True):
      found[f'{place}_{quantity}'] = middle[layer]
  return found


def before_convergence(run: pd.DataFrame, network: str) -> pd.DataFrame:
  """The rows before the first at which `CONVERGED` is true; else all."""
  steps = run.loc[CONVERGED[network](run), 'step']
  return run[run['step'] < steps.min()] if len(steps) else run


def geometric_mean(values: pd.Series) -> float:
  """So that a ratio of two means is the mean ratio of the layers."""
  with np.errstate(divide='ignore'):
    return float(np.exp(np.log(values).mean()))


def present(outcomes: pd.DataFrame, target: None) -> pd.DataFrame:
  """One row an arm: medians and ranges over its seeds, and the paper's.

  Args:
    outcomes: one row a run, by arm and seed.
    target: none; steps are not counted.
  """
  rows = []
  for name, arm in ARMS.items():
    own = outcomes.loc[name]
    lower, upper = SHOWN[arm.network]
    rows.append(
      {
        'network': name,
        'seeds': len(own),
        'learning rate': f'{own["rate"].iloc[0]:g}',
        'measured until step': spread(own['measured_until']),
        'difference': spread(own['gradient_difference'], '{:.2g}'),
        'cosine': spread(own['gradient_cosine'], '{:.2f}'),
        'two layers': f'{lower}; {upper}',
        'their difference': two(own, 'difference', '.2g'),
        'their cosine': two(own, 'cosine', '.2f'),
        'paper: difference': pair(arm.paper_difference, '.2f'),
        'paper: cosine': pair(arm.paper_cosine, '.2f'),
        'first layer': f'{own["first_difference"].max():g}',
        'accuracy or R\N{SUPERSCRIPT TWO} at the end': spread(
          own['accuracy'], '{:.1%}'
        ),
      }
    )
  return pd.DataFrame(rows)


def two(own: pd.DataFrame, quantity: str, form: str) -> str:
  """Medians over seeds of the layers of `SHOWN`."""
  return pair(
    [own[f'{place}_{quantity}'].median() for place in ('lower', 'upper')], form
  )


def pair(values: tuple[float, float] | None, form: str) -> str:
  """Two numbers as text."""
  if values is None:
    return NOTHING
  return '; '.join(f'{value:{form}}' for value in values)
