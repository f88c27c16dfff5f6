"""Metrics: pure functions, one file each."""
