"""Images per second of the input pipeline, and of a step that needs them."""

import contextlib
import itertools
import tempfile
import time

import jax

from benchmarks import reports
from benchmarks.timing import side_by_side
from benchmarks.train_candidates import Case, trainer
from normlab import data
from normlab.data import images
from normlab.data.sets import synthetic
from normlab.data.streaming import prefetch
from normlab.runtime import machine

EXAMPLES, BATCH_SIZE, BATCHES = 256, 32, 16
STEP = Case(
  'resnet18, ImageNet size', 'resnet18', images.SIZE, 3, {'small_images': False}
)


def report() -> str:
  """Rates of decoding in threads and in workers, and of training."""
  cores = len(machine.usable_cores())
  ways = {f'threads on {cores} cores': 0, f'{cores} workers': cores}
  with tempfile.TemporaryDirectory() as folder:
    synthetic.write(folder, sizes={'train': EXAMPLES, 'validation': 10})
    rates = {
      f'decoding, {name}': stream_rate(folder, workers=workers)
      for name, workers in ways.items()
    }
  rates[f'training, {STEP.row}'] = step_rate()
  rows = [(name, f'{rate:,.0f}') for name, rate in rates.items()]
  kind = 'JPEG of 500x375 to 224x224, augmented'
  return reports.report(('images', 'images / s'), rows, images=kind)


def stream_rate(
  data_dir: str,
  *,
  workers: int,
  batch_size: int = BATCH_SIZE,
  batches: int = BATCHES,
  image_size: int = images.SIZE,
) -> float:
  """Training images per second of `data.TrainStream` once it has started.

  Args:
    data_dir: has the data set of `synthetic.write`.
    batches: to wait for, after as many as may have been computed ahead.
    image_size: height and width, in pixels.
  """
  stream = data.TrainStream(
    *('imagenette', data_dir),
    batch_size=batch_size,
    image_size=image_size,
    workers=workers,
  )
  with contextlib.closing(stream):
    ahead = 1 + prefetch.ELEMENTS_A_WORKER * max(workers, 1)
    for _ in itertools.islice(stream, ahead):
      pass
    begin = time.perf_counter()
    for _ in itertools.islice(stream, batches):
      pass
    return batch_size * batches / (time.perf_counter() - begin)


def step_rate() -> float:
  """Images per second of our trainer at the size that the pipeline makes."""
  # On a CPU a step takes seconds.
  batch_size = 8 if jax.default_backend() == 'cpu' else 128
  times = side_by_side({'ours': trainer(STEP, batch_size)}, rounds=2)
  return batch_size / times['ours']
