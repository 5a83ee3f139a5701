"""What runs inside Triton's Python backend: models computed with PyTorch. Nothing else of this package runs there."""
