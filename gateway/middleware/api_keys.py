"""What the keys' file says: keys, and behind each what it stands for in requests that leave it open, and its share."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import ConfigurationError
from gateway.types import KeyDefaults

_LEAST_WEIGHT = 0.01

# The last word of a line that has something before it; a key may have spaces, and may itself look like such a word.
_LAST_WORD = re.compile(r"(?P<rest>.*\S)\s+(?P<name>model|task|weight)=(?P<value>\S*)", re.DOTALL)
_FORM = "Mend the line in the file that GATEWAY_API_KEYS_FILE names: KEY model=NAME task=TASK weight=3"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`defaults` None: the key opens the door and stands for nothing else. `weight` is its share beside others'."""

    key: str
    defaults: KeyDefaults | None = None
    weight: float = 1.0


def read_key_file(file: Path) -> list[ApiKey]:
    """The keys of a file, in order; blank lines and lines that start with `#` do not count. Raises
    `ConfigurationError`, for a file without any as well."""
    try:
        text = file.read_text(encoding="utf-8-sig")  # editors put a mark in front, which is no part of the first key
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"The API keys' file {file} cannot be read ({type(error).__name__}).",
            remedy="Mend GATEWAY_API_KEYS_FILE or the file's rights, then start again.",
        ) from None
    keys = [
        parse_key_line(line, where=f"Line {number} of the API keys' file {file}")
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not keys:
        raise ConfigurationError(
            f"The API keys' file {file} holds no key.",
            remedy="Write one key a line into it, or unset GATEWAY_API_KEYS_FILE to serve without keys.",
        )
    return keys


def parse_key_line(line: str, *, where: str) -> ApiKey:
    """The key of a line that is neither blank nor a comment, and the words behind it. `where` names the line, as a
    sentence has it: no part of a key is to stand in a message. Raises `ConfigurationError`."""
    key = line.strip()
    given: dict[str, str] = {}
    while (found := _LAST_WORD.fullmatch(key)) is not None:
        if not found["value"] or found["name"] in given:
            raise ConfigurationError(f"{where} has no word for {found['name']!r}, or two.", remedy=_FORM)
        given[found["name"]] = found["value"]
        key = found["rest"]
    weight = _weight(given.pop("weight", None), where=where)
    return ApiKey(key, KeyDefaults(**given) if given else None, weight)


def _weight(word: str | None, *, where: str) -> float:
    if word is None:
        return 1.0
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not _LEAST_WEIGHT <= number <= 1 / _LEAST_WEIGHT:
        raise ConfigurationError(
            f"{where} has the weight {word!r}; it has to be a number from {_LEAST_WEIGHT} to {1 / _LEAST_WEIGHT:g}.",
            remedy=_FORM,
        )
    return number
