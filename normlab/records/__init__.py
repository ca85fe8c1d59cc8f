"""A run on disk: its folder, config, metrics and status.

  config.json     the resolved config
  metrics.jsonl   one object per line: step, split, values
  timing.jsonl    one object per line: step, images per second, seconds so far
  status.json     running, done, diverged at a step, failed or interrupted
  probes/         NAME/STEP.npz: what was measured inside the network
  checkpoints/    the state at some steps
  events.out...   metrics and timing for TensorBoard

Two runs of the same config on the same machine have equal metrics, even if one
was stopped and resumed; only timing and status differ.

Plots and reports read these files; that needs neither JAX nor TFDS.
"""

from normlab.records.identity import (
  WITHOUT_EFFECT,
  comparable,
  differences,
  flatten,
  identity,
  resolved,
  run_name,
  types,
)
from normlab.records.json_files import FINISHED, replacing, write_json
from normlab.records.record import (
  CHECKPOINTS,
  CONFIG,
  LOCK,
  METRICS,
  STATUS,
  SWEEP,
  TIMING,
  InUseError,
  Record,
  RecordError,
  load,
)
