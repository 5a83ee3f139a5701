"""Talking to Triton, and running one here."""
