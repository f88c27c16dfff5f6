"""Pure functions that measure pictures."""
