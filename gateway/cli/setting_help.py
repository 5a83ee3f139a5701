"""What an option's help says about the setting that stands in where the option is not given."""

from __future__ import annotations

from enum import Enum

from gateway.settings import Settings, environment_names

# For an option that takes a port, as its help shows it.
PORT = "PORT"


def default_of(field: str) -> str:
    """`(default: GATEWAY_PORT, else 8000)`. In parentheses: what is in brackets the help takes for markup."""
    default = Settings.model_fields[field].default
    word = default.value if isinstance(default, Enum) else default
    return f"(default: {environment_names(field)[0]}, else {word})"
