"""Twins: tiny models of random weights in the repositories' exact layout, each with a NumPy forward pass as oracle."""
