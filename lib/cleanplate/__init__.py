"""Cleanplate cleans photographs by the batch: detect, mask, fill, verify, publish, roll back."""

__version__ = "0.1.0"
