"""Many runs: beside each other on this machine."""
