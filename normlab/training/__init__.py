"""Training: one run, or several in one program.

The way of a batch: `loop.train`, `preparation.open_feed`, `sources.load`,
`memory_feed.Resident.batch`, `compiled_calls.train_steps`,
`training_step.train_step`.

The way of a metric: `metrics.per_example`, `training_step.train_step`,
`compiled_calls.PendingMetrics`, `loop.write`, `training_rows.TrainRows`,
`journals.Journal`, `writers.JsonLinesWriter`. `tables.training` reads it.
"""
