"""The work of the scripts: one module per script, under the same name."""
