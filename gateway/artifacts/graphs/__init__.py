"""ONNX graphs built here around weights that are published as safetensors only, without a second copy on disk."""
