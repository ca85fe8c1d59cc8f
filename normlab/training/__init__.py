"""One run: preparation, the loop, evaluation, and how it ends."""
