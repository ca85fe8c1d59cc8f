"""Times beside plain Flax and PyTorch; run by scripts/benchmark.py."""
