"""A version folder on disk to an `Embedder`: config, weights, adapters and the reading of pixels, in that order."""

from __future__ import annotations

import torch

from gateway.python_backend.adapters import Adapters, attach_adapters
from gateway.python_backend.call_rows import ReadableRows
from gateway.python_backend.checkpoint import stored_tensors, weight_files
from gateway.python_backend.embedder import Embedder
from gateway.python_backend.network import Network, build_network
from gateway.python_backend.network_config import read_network_config
from gateway.python_backend.options import ServingOptions
from gateway.python_backend.pixels import PixelReading, read_pixel_reading
from gateway.python_backend.placement import Placement


def load_embedder(options: ServingOptions, placement: Placement) -> Embedder:
    """Raises `LoadError`, which says what of the checkpoint cannot be used."""
    config = read_network_config(options.folder / "config.json")
    reading = read_pixel_reading(options.folder, config.vision_config)
    stored = stored_tensors(weight_files(options.folder))
    with torch.inference_mode():
        network = build_network(config, stored, placement)
        adapters = attach_adapters(network, options.folder, options.adapters, placement)
    return Embedder(network, adapters, reading, options.max_forward_tokens)


def readable_rows(network: Network, adapters: Adapters, reading: PixelReading) -> ReadableRows:
    """What rows of calls have to fit."""
    config = network.model.config
    return ReadableRows(
        vocabulary=config.text_config.vocab_size,
        adapters=adapters.choices,
        image_token=config.image_token_id,
        vision_start=config.vision_start_token_id,
        vision_end=config.vision_end_token_id,
        unit_pixels=reading.unit_pixels,
    )
