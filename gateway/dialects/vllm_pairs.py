"""Reads the pairs that vLLM's score API compares: two lists by any of four pairs of names, or one text for a list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.dialects.fields import Fields, given, kind_of
from gateway.dialects.input_objects import read_object
from gateway.dialects.inputs import InputLimits
from gateway.dialects.vllm_messages import only_part
from gateway.errors import InvalidField, TooManyInputs
from gateway.types import ImageInput, TextInput

Item = TextInput | ImageInput

BY_SIDES = "queries"
"""The name that says which side of a search its items are of."""

# By the name of the first: the names of what goes with it.
_PARTNERS = {BY_SIDES: ("documents", "items"), "data_1": ("data_2",), "text_1": ("text_2",)}
_ITEM_FORMS = 'a text, an object {"content": [...]} with one text or image, or a list of these'


@dataclass(frozen=True, slots=True)
class ScoreCall:
    """One query for each document, or one for all of them. `names` is what their fields were called."""

    queries: tuple[Item, ...]
    documents: tuple[Item, ...]
    names: tuple[str, str]

    def pairs(self) -> Iterator[tuple[Item, Item]]:
        queries = self.queries * len(self.documents) if len(self.queries) == 1 else self.queries
        return zip(queries, self.documents, strict=True)


def parse_score_call(fields: Fields, *, limits: InputLimits) -> ScoreCall:
    """Raises `InvalidField`, `InvalidImage`, `TooManyInputs`."""
    queries_name, queries = given(fields, *_PARTNERS)
    documents_name, documents = given(fields, *_PARTNERS[queries_name])
    call = ScoreCall(
        queries=_items(queries, name=queries_name, limits=limits),
        documents=_items(documents, name=documents_name, limits=limits),
        names=(queries_name, documents_name),
    )
    if len(call.queries) not in (1, len(call.documents)):
        raise InvalidField(
            f"'{queries_name}' has {len(call.queries)} items and '{documents_name}' {len(call.documents)}. Give one "
            f"for all of '{documents_name}', or as many.",
            param=queries_name,
        )
    return call


def _items(value: Any, *, name: str, limits: InputLimits) -> tuple[Item, ...]:
    if value is None:
        raise InvalidField(f"'{name}' is missing. Give {_ITEM_FORMS}.", param=name)
    if not isinstance(value, list):
        return (_item(value, where=f"'{name}'", param=name, limits=limits),)
    if not value:
        raise InvalidField(f"'{name}' is an empty list. Give at least one item.", param=name)
    if len(value) > limits.max_inputs:
        raise TooManyInputs(
            f"'{name}' has {len(value)} items and the limit is {limits.max_inputs}. Send them in several requests.",
            param=name,
        )
    return tuple(_item(one, where=f"'{name}[{index}]'", param=name, limits=limits) for index, one in enumerate(value))


def _item(value: Any, *, where: str, param: str, limits: InputLimits) -> Item:
    if isinstance(value, str):
        return TextInput(value)
    if not isinstance(value, dict):
        raise InvalidField(f"{where} has to be {_ITEM_FORMS}, not {kind_of(value)}.", param=param)
    if "content" in value:
        return only_part(value["content"], where=where, param=param, limits=limits) or TextInput("")
    return read_object(value, where=where, param=param, max_image_bytes=limits.max_image_bytes)
