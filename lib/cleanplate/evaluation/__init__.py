"""Overlays with exact ground truth, suites and comparisons."""
