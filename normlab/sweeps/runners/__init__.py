"""Runners, which train the runs of a sweep: one interface, four ways."""
