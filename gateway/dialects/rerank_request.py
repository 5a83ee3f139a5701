"""Checks a rerank request by hand, under the names that Jina, Cohere and those who imitate them have for its fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.dialects.fields import Fields, flag, given, kind_of, model_name, refuse_if_asked, whole_number
from gateway.dialects.inputs import read_text_list, text_of
from gateway.dialects.vllm_fields import pairs_cut_to
from gateway.errors import InvalidField
from gateway.types import LongDocuments, RerankRequest

DOCUMENTS_NAMES = ("documents", "texts", "docs", "passages")
TOP_NAMES = ("top_n", "top_k")
DOCUMENT_LENGTH_NAMES = ("max_doc_length", "max_tokens_per_doc")
TRUNCATE_NAMES = ("truncation", "truncate")

# Each is looked for in every document.
_MOST_RANK_FIELDS = 100


@dataclass(frozen=True, slots=True)
class RerankCall:
    """`given` holds the documents in the form they came in; `top_n` None asks for all of them. `raw_scores` asks for
    what the model gives, before the sigmoid."""

    request: RerankRequest
    given: Sequence[Any]
    top_n: int | None
    return_documents: bool
    raw_scores: bool = False


def parse_rerank_call(
    fields: Fields, *, max_inputs: int, deadline: float, caller: str = "", echo_documents: bool = True
) -> RerankCall:
    """Translate the body's fields; unknown ones are ignored and null means not given. `echo_documents` is whether the
    API repeats documents where the request says nothing of it.

    `deadline` is a reading of `time.monotonic()`, in seconds. Raises `InvalidField`, `TooManyInputs`.
    """
    refuse_if_asked(fields, "return_embeddings")
    name, documents = given(fields, *DOCUMENTS_NAMES)
    cut, max_pair_tokens = pairs_cut_to(fields)
    ranked = _ranked_by(documents, fields.get("rank_fields"))
    request = RerankRequest(
        query=_query(fields.get("query")),
        documents=read_text_list(ranked, name=name, max_inputs=max_inputs),
        deadline=deadline,
        model=model_name(fields),
        long_documents=cut or _long_documents(fields),
        max_document_tokens=whole_number(
            fields, *DOCUMENT_LENGTH_NAMES, minimum=1, otherwise="Leave it out to read documents as they are."
        ),
        max_pair_tokens=max_pair_tokens,
        caller=caller,
    )
    return RerankCall(
        request=request,
        given=documents,
        top_n=whole_number(fields, *TOP_NAMES, minimum=0, otherwise="Leave it out for all documents.") or None,
        return_documents=flag(fields, "return_documents", default=echo_documents),
        raw_scores=_wants_logits(fields),
    )


def _ranked_by(documents: Any, names: Any) -> Any:
    """Documents that are objects, as Cohere's first API has them, with the fields that they are to be ranked by as
    their `text`. Raises `InvalidField`."""
    if not names or not isinstance(documents, list):
        return documents
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidField("'rank_fields' has to be a list of names of fields.", param="rank_fields")
    once = tuple(dict.fromkeys(names))  # a megabyte named a thousand times would be a gigabyte
    if len(once) > _MOST_RANK_FIELDS:
        raise InvalidField(
            f"'rank_fields' names {len(once)} fields and the limit is {_MOST_RANK_FIELDS}.", param="rank_fields"
        )
    return [_with_text(item, once) if isinstance(item, dict) else item for item in documents]


def _with_text(item: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return item | {"text": "\n".join(_written(item[name]) for name in names if item.get(name) is not None)}


def _written(value: Any) -> str:
    """A field's value as a text to rank. Raises `InvalidField`."""
    if isinstance(value, list | dict):
        raise InvalidField(
            f"'rank_fields' names a field that holds {kind_of(value)} in one of the documents. It has to be a string, "
            "a number or a boolean.",
            param="rank_fields",
        )
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _query(value: Any) -> str:
    if value is None:
        raise InvalidField("'query' is missing. Give the text to compare the documents with.", param="query")
    return text_of(value, where="'query'", param="query")


def _wants_logits(fields: Fields) -> bool:
    """By Infinity's word or by vLLM's. Raises `InvalidField`."""
    is_asked = flag(fields, "raw_scores", default=False)
    return not flag(fields, "use_activation", default=True) or is_asked


def _long_documents(fields: Fields) -> LongDocuments | None:
    """What is asked for documents that do not fit: cut, read in pieces, or, None, whatever the server is set to."""
    if given(fields, *TRUNCATE_NAMES)[1] is None:
        return None
    return LongDocuments.TRUNCATE if flag(fields, *TRUNCATE_NAMES, default=False) else LongDocuments.CHUNK
