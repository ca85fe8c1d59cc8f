"""One run: prepared, trained, evaluated, ended."""
