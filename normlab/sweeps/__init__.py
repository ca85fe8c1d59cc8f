"""Many runs: what to sweep, what trains them, and what came of it."""
