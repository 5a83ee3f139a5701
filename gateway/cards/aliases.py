"""The operator's own names for models, as `ALIAS=MODEL`: what each entry of the setting says."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.errors import ConfigurationError

_SETTING = "GATEWAY_MODEL_ALIASES"


def model_aliases(entries: Sequence[str]) -> dict[str, str]:
    """Models' names, with a task on them or without, by the operator's names. Whether there are such models is for the
    registry to say. Raises `ConfigurationError`."""
    aliases: dict[str, str] = {}
    for entry in entries:
        alias, _, name = (part.strip() for part in entry.partition("="))
        if not alias or not name or alias.lower() in map(str.lower, aliases):
            raise ConfigurationError(
                f"{_SETTING} is not valid: {entry!r} is not of the form ALIAS=MODEL, or its alias was there before.",
                remedy=f"Write it as {_SETTING}=ALIAS=MODEL, several separated by commas, then start again.",
            )
        aliases[alias] = name
    return aliases
