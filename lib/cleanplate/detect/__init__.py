"""Where is something to remove: the detectors and their registry."""
