"""Whole batches: ingest, waves, publish, roll back, purge."""
