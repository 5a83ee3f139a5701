"""What a graph takes and gives, and whether a model config fits it."""

import numpy as np

from onnxruntime_backend.model_config import ConfigError

DEFAULT_MAX_BATCH_SIZE = 4  # what the C++ backend takes when it may batch and was told nothing


class Signature:
    """Name, Triton type (None where this backend does not serve it) and shape of one graph input or output.

    `dims` is the full shape, -1 where symbolic; a rank-0 tensor has [1], as Triton knows no rank 0.
    """

    def __init__(self, *, name, data_type, shape):
        self.name = name
        self.data_type = data_type
        self.is_scalar = len(shape) == 0
        self.dims = [dim if isinstance(dim, int) else -1 for dim in shape] or [1]

    @property
    def may_batch(self):
        return not self.is_scalar and self.dims[0] == -1

    def feed(self, array):
        """The array as the graph wants it. ONNX Runtime takes shape [1] for a rank-0 input without a word and computes
        something else, so rank-0 inputs are reshaped here."""
        if array.dtype == np.object_:
            array = decoded(array)
        return array.reshape(()) if self.is_scalar else array


def decoded(array):
    """bytes objects, as Triton hands them over, to the str objects ONNX Runtime reads."""
    flat = [item.decode("utf-8") for item in array.ravel()]
    return np.array(flat, dtype=np.object_).reshape(array.shape)


def sendable(value):
    """Triton knows no rank 0 tensor: a scalar output travels as shape [1]."""
    return value.reshape(1) if value.ndim == 0 else value


def complete(model_config, config, *, inputs, outputs):
    """What the C++ backend does: batching if every tensor allows it, then the missing inputs or outputs."""
    batches = all(signature.may_batch for signature in [*inputs.values(), *outputs.values()])
    if config["max_batch_size"] > 0 and not batches:
        raise ConfigError("max_batch_size is above 0, but not every tensor of the graph has a free first dimension")
    if batches and config["max_batch_size"] == 0:
        model_config.set_max_batch_size(DEFAULT_MAX_BATCH_SIZE)
        if not any(key in config for key in ("dynamic_batching", "sequence_batching", "ensemble_scheduling")):
            model_config.set_dynamic_batching()
    if not config["input"]:
        for signature in inputs.values():
            model_config.add_input(described(signature, batches=batches))
    if not config["output"]:
        for signature in outputs.values():
            model_config.add_output(described(signature, batches=batches))


def described(signature, *, batches):
    if signature.data_type is None:
        raise ConfigError(f"tensor '{signature.name}' has an element type that this backend does not serve")
    dims = signature.dims[1:] if batches else signature.dims
    return {"name": signature.name, "data_type": signature.data_type, "dims": dims}


def check_inputs(config, inputs):
    """Every graph input has to be listed, by its name and type, with dimensions that can fit."""
    entries = config.get("input", [])
    for entry in entries:
        signature = matched(entry, inputs, kind="input")
        if not fits(full_dims(config, entry), signature):
            raise ConfigError(f"input '{entry['name']}' has dims {entry['dims']}, the graph takes {signature.dims}")
    missing = sorted(set(inputs) - {entry["name"] for entry in entries})
    if missing:
        raise ConfigError(f"the graph also takes {missing}, which the config does not list")


def check_outputs(config, outputs):
    """A config may list a subset of the outputs; their dimensions have to be the graph's exactly."""
    for entry in config.get("output", []):
        signature = matched(entry, outputs, kind="output")
        if full_dims(config, entry) != signature.dims:
            raise ConfigError(f"output '{entry['name']}' has dims {entry['dims']}, the graph gives {signature.dims}")


def matched(entry, signatures, *, kind):
    signature = signatures.get(entry["name"])
    if signature is None:
        raise ConfigError(f"{kind} '{entry['name']}' is not in the graph, which has {sorted(signatures)}")
    if entry["data_type"] != signature.data_type:
        raise ConfigError(f"{kind} '{entry['name']}' is {entry['data_type']}, the graph has {signature.data_type}")
    return signature


def full_dims(config, entry):
    """Dimensions as the graph sees them: a `reshape` counts instead of `dims`, a batch dimension comes first."""
    dims = [int(dim) for dim in entry.get("reshape", {}).get("shape", entry["dims"])]
    return [-1, *dims] if config.get("max_batch_size", 0) > 0 else dims


def fits(dims, signature):
    if signature.is_scalar:
        return all(dim == 1 for dim in dims)
    return len(dims) == len(signature.dims) and all(
        -1 in (dim, own) or dim == own for dim, own in zip(dims, signature.dims, strict=True)
    )
