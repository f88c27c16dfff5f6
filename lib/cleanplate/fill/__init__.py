"""The fill engines and their registry."""
