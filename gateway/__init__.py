"""An embeddings gateway in front of NVIDIA Triton."""
