"""The language of `get_hyper`."""
