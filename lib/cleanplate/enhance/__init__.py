"""Grain and artefacts: what is given back and what is taken away."""
