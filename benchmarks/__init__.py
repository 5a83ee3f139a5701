"""Dated, repeatable measurements of this project; see benchmarks/README.md."""
