"""Tables of runs, curves, plots and result files: reads records, trains nothing."""
