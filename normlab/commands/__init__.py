"""What the scripts do: one module a script, under the same name."""
