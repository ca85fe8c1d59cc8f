"""Many runs: the plan, the runners that train them, and the results."""
