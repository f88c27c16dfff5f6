"""Marks that the pictures of a batch share: found by all of them together, estimated once, known ever after."""
