"""What may be told of an error, and what is refused before it could become a wrong result."""

import os
import re
import sys
from pathlib import Path

import numpy as np

from onnxruntime_backend.model_config import ConfigError

ENVIRONMENT_MARK = "wrong-environment:"  # the supervisor looks for this in a load error

PATH_LIKE = re.compile(r"(?<![\w.])/[^\s'\":,)]+")
ELEMENT_VALUE = re.compile(r"\bidx=-?\d+")


def scrub(error):
    """The error's text without file paths and without element values, which may be pieces of somebody's input."""
    text = str(error) or type(error).__name__
    return ELEMENT_VALUE.sub("idx=(hidden)", PATH_LIKE.sub("(path)", text))


def check_environment():
    """Refuse to run where results would be wrong without an error.

    The stub picks its packages through the `python3` it finds on PATH, so what it got is looked at, not assumed.
    """
    expected = os.environ.get("GATEWAY_STUB_PREFIX")
    if expected and not same_folder(expected, sys.prefix):
        raise ConfigError(f"{ENVIRONMENT_MARK} the stub runs in another Python environment than the gateway")
    if int(np.__version__.split(".")[0]) >= 2:
        raise ConfigError(f"{ENVIRONMENT_MARK} this tritonserver reads NumPy 2 arrays wrongly, found {np.__version__}")


def same_folder(one, other):
    return Path(one).resolve() == Path(other).resolve()
