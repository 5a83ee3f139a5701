"""Reads single fields of a JSON body, whatever an API calls them, and says in one sentence what is wrong with one.

Null means not given. A field may have several names, because APIs that share a path have their own; the first name that
is given wins. Messages name the field as it was sent and never repeat its value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.errors import InvalidField

Fields = Mapping[str, Any]

_KINDS: Mapping[type, str] = {
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number with a fraction",
    list: "a list",
    type(None): "null",
}


def given(fields: Fields, *names: str, but_not: Any = None) -> tuple[str, Any]:
    """The first of `names` that is there and neither null nor `but_not`, with its value; else the first and None."""
    for name in names:
        value = fields.get(name)
        if value is not None and value != but_not:
            return name, value
    return names[0], None


def word(fields: Fields, *names: str) -> str | None:
    """A short string without the white space around it; an empty one counts as not given. Raises `InvalidField`."""
    name, value = given(fields, *names, but_not="")
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidField(f"'{name}' has to be a string, not {kind_of(value)}.", param=name)
    return value.strip() or None


def flag(fields: Fields, *names: str, default: bool) -> bool:
    """A boolean. Raises `InvalidField`."""
    name, value = given(fields, *names)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise InvalidField(f"'{name}' has to be true or false, not {kind_of(value)}.", param=name)
    return value


def whole_number(fields: Fields, *names: str, minimum: int, otherwise: str) -> int | None:
    """An integer of at least `minimum`, or None; `otherwise` is the sentence on what leaving it out means.

    Raises `InvalidField`.
    """
    name, value = given(fields, *names)
    if value is None:
        return None
    if type(value) is not int:
        raise InvalidField(f"'{name}' has to be an integer, not {kind_of(value)}.", param=name)
    if value < minimum:
        raise InvalidField(f"'{name}' has to be {minimum} or more. {otherwise}", param=name)
    return value


def required_text(fields: Fields, name: str, *, what: str) -> str:
    """A string as it is; `what` says what to give. Raises `InvalidField`."""
    value = fields.get(name)
    if isinstance(value, str):
        return value
    raise InvalidField(
        f"'{name}' is missing. Give {what}."
        if value is None
        else f"'{name}' has to be a string, not {kind_of(value)}. Give {what}.",
        param=name,
    )


def model_name(fields: Fields) -> str | None:
    """The model named, None for the default one. Raises `InvalidField`."""
    value = fields.get("model")
    if value is None or isinstance(value, str):
        return (value or "").strip() or None
    raise InvalidField(f"'model' has to be a string, not {kind_of(value)}. `GET /v1/models` lists them.", param="model")


def refuse_if_asked(fields: Fields, *names: str) -> None:
    """For what no model served here offers: false and null are fine. Raises `InvalidField`."""
    for name in names:
        if flag(fields, name, default=False):
            raise InvalidField(f"'{name}' is not served by this model. Leave it out or send false.", param=name)


def kind_of(value: Any) -> str:
    """What JSON calls the type of `value`, with its article."""
    return _KINDS.get(type(value), "an object")
