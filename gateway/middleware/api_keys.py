"""What a line of the keys' file says: a key, and what it stands for in requests that leave it open."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import ConfigurationError
from gateway.types import KeyDefaults

_WORDS = ("model", "task")
_FORM = "Write `KEY`, `KEY model=NAME`, `KEY task=TASK` or `KEY model=NAME task=TASK` on a line."


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`defaults` None: the key opens the door and stands for nothing else."""

    key: str
    defaults: KeyDefaults | None = None


def parse_key_line(line: str, *, where: str) -> ApiKey:
    """The key of a line that is neither blank nor a comment. `where` names the line, as a sentence has it: no part of a
    key is to stand in a message. Raises `ConfigurationError`."""
    key, *words = line.split()
    given: dict[str, str] = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in _WORDS or not value or name in given:
            raise ConfigurationError(f"{where} says something else than a key's model and task.", remedy=_FORM)
        given[name] = value
    return ApiKey(key, KeyDefaults(**given) if given else None)
