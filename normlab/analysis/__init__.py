"""Tables of runs, curves, plots, result files: from records; trains nothing."""
