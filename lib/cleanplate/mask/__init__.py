"""From regions to soft masks."""
