"""Reading one table of a card with faults that name the file, the key and what belongs there.

Own code because pydantic stays at the edge and the standard library's TOML reader checks no types.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from enum import Enum
from pathlib import Path
from typing import NoReturn, TypeVar

from gateway.errors import ConfigurationError

E = TypeVar("E", bound=Enum)


class Section:
    """One table. Every getter without a `default` is for a key that has to be there; `finish` refuses unknown keys."""

    def __init__(self, values: Mapping[str, object], *, file: Path, prefix: str = "") -> None:
        self._values = dict(values)
        self._file = file
        self._prefix = prefix

    def fault(self, key: str, expected: str) -> NoReturn:
        raise ConfigurationError(
            f"{self._file}: {self._prefix}{key} has to be {expected}.",
            remedy=f"Mend {self._prefix}{key} in {self._file.name}; all-MiniLM-L6-v2 has a complete card.",
        )

    def text(self, key: str) -> str:
        value = self._take(key)
        return value if isinstance(value, str) and value else self.fault(key, "a text that is not empty")

    def optional_text(self, key: str) -> str | None:
        return self.text(key) if key in self._values else None

    def any_text(self, key: str) -> str | None:
        """A text that may be empty; None where the key is not there."""
        value = self._take(key)
        return value if value is None or isinstance(value, str) else self.fault(key, "a text")

    def has(self, key: str) -> bool:
        return key in self._values

    def rest(self) -> dict[str, object]:
        """All keys that were not read yet, which count as read from now on."""
        rest, self._values = self._values, {}
        return rest

    def table_of_texts(self, key: str) -> dict[str, str]:
        """A table of texts, which may be empty."""
        values = self.mapping(key)
        texts = {name: value for name, value in values.items() if isinstance(value, str)}
        return texts if len(texts) == len(values) else self.fault(key, "a table of texts")

    def integer(self, key: str, *, minimum: int, default: int | None = None) -> int:
        value = self._take(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and value >= minimum:
            return value
        return self.fault(key, f"a whole number of at least {minimum}")

    def optional_integer(self, key: str, *, minimum: int) -> int | None:
        return self.integer(key, minimum=minimum) if key in self._values else None

    def boolean(self, key: str, *, default: bool) -> bool:
        value = self._take(key, default)
        return value if isinstance(value, bool) else self.fault(key, "true or false")

    def number(self, key: str, *, default: float) -> float:
        value = self._take(key, default)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return float(value)
        return self.fault(key, "a number above zero")

    def day(self, key: str) -> date:
        value = self._take(key)
        return value if type(value) is date else self.fault(key, "a date such as 2021-08-30, without quotes")

    def one_of(self, key: str, known: Iterable[str]) -> str:
        value, words = self._take(key), list(known)
        return value if isinstance(value, str) and value in words else self.fault(key, "one of " + ", ".join(words))

    def choice(self, key: str, kind: type[E]) -> E:
        return kind(self.one_of(key, [member.value for member in kind]))

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._list(key)
        texts = tuple(value for value in values if isinstance(value, str) and value)
        return texts if len(texts) == len(values) else self.fault(key, "a list of texts that are not empty")

    def integers(self, key: str, *, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        values = self._list(key, default)
        numbers = tuple(value for value in values if isinstance(value, int) and not isinstance(value, bool))
        return numbers if len(numbers) == len(values) else self.fault(key, "a list of whole numbers")

    def numbers(self, key: str) -> tuple[float, ...]:
        values = self._list(key, None)
        numbers = tuple(float(value) for value in values if isinstance(value, int | float) and value is not True)
        return numbers if numbers and len(numbers) == len(values) else self.fault(key, "a list of numbers, not empty")

    def mapping(self, key: str) -> dict[str, object]:
        """A table taken as it stands."""
        value = self._take(key, {})
        return dict(value) if isinstance(value, dict) else self.fault(key, "a table")

    def section(self, key: str) -> Section:
        value = self._take(key)
        if not isinstance(value, dict):
            self.fault(key, f"a table, written [{self._prefix}{key}]")
        return Section(value, file=self._file, prefix=f"{self._prefix}{key}.")

    def optional_section(self, key: str) -> Section | None:
        return self.section(key) if key in self._values else None

    def sections(self, key: str) -> list[Section]:
        values = self._list(key, None)
        name = f"{self._prefix}{key}"
        if not values or not all(isinstance(value, dict) for value in values):
            self.fault(key, f"at least one table, written [[{name}]]")
        return [
            Section(value, file=self._file, prefix=f"{name}[{position}].")
            for position, value in enumerate(values)
            if isinstance(value, dict)
        ]

    def finish(self) -> None:
        """Call when every known key was read: what is left is a spelling mistake or belongs elsewhere."""
        for key in self._values:
            self.fault(key, "left out: no such key is known here")

    def _take(self, key: str, default: object = None) -> object:
        return self._values.pop(key, default)

    def _list(self, key: str, default: tuple[int, ...] | None = ()) -> list[object]:
        value = self._take(key, default)
        if isinstance(value, list | tuple):
            return list(value)
        return self.fault(key, "a list")
