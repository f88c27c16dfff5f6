"""Rolling out a batch: pages, reports, gates."""
