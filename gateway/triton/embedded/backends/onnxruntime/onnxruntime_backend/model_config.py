"""Reads Triton's model config as the C++ backend reads it: parameters, and how the cores are shared out."""

import os

USABLE_CORES = "GATEWAY_USABLE_CORES"  # told by whoever started the server: it knows a container's share of time


class ConfigError(ValueError):
    """The config cannot be served with this graph; its text becomes Triton's load error."""


def parameter(config, name):
    entry = config.get("parameters", {}).get(name)
    return None if entry is None else entry["string_value"]


def number(config, name):
    """The parameter as a whole number, or None where it is not set."""
    text = parameter(config, name)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"parameter {name} must be a whole number, found '{text}'") from None


def usable_cores():
    """Cores that this process may use, at least 1."""
    told = os.environ.get(USABLE_CORES, "")
    own = len(os.sched_getaffinity(0))
    return max(1, min(int(told), own)) if told.isdecimal() else own


def cores_per_instance(config):
    """All usable cores, shared out over the instances; ONNX Runtime alone would take all for each."""
    instances = sum(group.get("count", 1) for group in config.get("instance_group", [])) or 1
    return max(1, usable_cores() // instances)
