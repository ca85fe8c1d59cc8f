"""Configs of the experiment `valley`."""
