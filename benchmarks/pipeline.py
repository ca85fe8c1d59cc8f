"""Images a second of the input pipeline, beside what a training step takes."""

import contextlib
import itertools
import tempfile
import time

import jax
import pandas as pd

from benchmarks import timing, train_candidates
from benchmarks.train_cases import Case
from normlab import data
from normlab.data import images
from normlab.data.sets import synthetic
from normlab.data.streaming import prefetch

EXAMPLES, BATCH_SIZE, BATCHES = 256, 32, 16
# Of which a CPU is given few images, as a step takes seconds.
STEP = Case(
  'resnet18, ImageNet size',
  'resnet18',
  size=images.SIZE,
  channels=3,
  fields={'small_images': False},
)
STEP_BATCH_SIZES = {'cpu': 8}
STEP_BATCH_SIZE_ELSEWHERE = 128


def table() -> pd.DataFrame:
  """A row a way of decoding, and one of the step that needs the images."""
  cores = prefetch.usable_cores()
  with tempfile.TemporaryDirectory() as folder:
    synthetic.write(folder, sizes={'train': EXAMPLES, 'validation': 10})
    rates = {
      f'decoding, {name}': stream_rate(folder, workers=workers)
      for name, workers in (
        (f'threads on {cores} cores', 0),
        (f'{cores} workers', cores),
      )
    }
  rates[f'training, {STEP.row}'] = step_rate()
  return pd.DataFrame(
    [{'images': k, 'images / s': f'{v:,.0f}'} for k, v in rates.items()]
  )


def stream_rate(
  data_dir: str,
  *,
  workers: int,
  batch_size: int = BATCH_SIZE,
  batches: int = BATCHES,
  image_size: int = images.SIZE,
) -> float:
  """Training images a second of `data.TrainStream` when it has started.

  Args:
    data_dir: has the data set of `synthetic.write`.
    workers: as for the stream.
    batch_size: images of a batch.
    batches: to wait for, after as many as may have been computed ahead.
    image_size: height and width, in pixels.
  """
  stream = data.TrainStream(
    'imagenette',
    data_dir,
    batch_size=batch_size,
    image_size=image_size,
    workers=workers,
  )
  with contextlib.closing(stream):
    next(stream)
    ahead = prefetch.ELEMENTS_A_WORKER * max(workers, 1)
    for _ in itertools.islice(stream, ahead):
      pass
    begin = time.perf_counter()
    for _ in itertools.islice(stream, batches):
      pass
    return batch_size * batches / (time.perf_counter() - begin)


def step_rate() -> float:
  """Images a second of our trainer at the size that the pipeline makes."""
  batch_size = STEP_BATCH_SIZES.get(
    jax.default_backend(), STEP_BATCH_SIZE_ELSEWHERE
  )
  stepper = train_candidates.trainer(STEP, batch_size)
  times = timing.steps_side_by_side({'ours': stepper}, rounds=2, steps=1)
  return batch_size / times['ours']
