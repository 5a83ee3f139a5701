"""Gemini's embedding calls: checks contents and their options by hand, one or a batch, and writes their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.dialects.endpoint import Answer, Call
from gateway.dialects.fields import Fields, flag, given, kind_of, whole_number, word
from gateway.dialects.gemini_content import Item, read_content, read_text
from gateway.dialects.gemini_models import MODEL_PREFIX
from gateway.dialects.json_rows import written
from gateway.errors import InvalidField, TooManyInputs
from gateway.service.deadlines import before
from gateway.types import EmbedRequest, EmbedResult, Overflow, TextInput, Usage
from gateway.vectors.encoders import float_lists

_BYTES_PER_NUMBER = 12
_TASK_NAMES = ("taskType", "task_type")
# Google's generated clients write the number of a task in place of its name.
_TASKS = (
    "TASK_TYPE_UNSPECIFIED",
    "RETRIEVAL_QUERY",
    "RETRIEVAL_DOCUMENT",
    "SEMANTIC_SIMILARITY",
    "CLASSIFICATION",
    "CLUSTERING",
    "QUESTION_ANSWERING",
    "FACT_VERIFICATION",
    "CODE_RETRIEVAL_QUERY",
)
_TITLE_IGNORED = "'title' is ignored: the models here read the content alone."


@dataclass(frozen=True, slots=True)
class _Options:
    """What one content is embedded for; those with the same options share a request."""

    side: str | None
    dimensions: int | None
    overflow: Overflow


@dataclass(frozen=True, slots=True)
class _Entry:
    item: Item
    options: _Options
    has_title: bool


@dataclass(frozen=True, slots=True)
class _Group:
    """The vectors of the entries at `indices`, in their order."""

    indices: Sequence[int]
    result: EmbedResult


async def embed_content(call: Call) -> Answer:
    """The answer of `:embedContent`: one content, one list of values."""
    entry = _entry(call.fields, call, where="")
    groups = await call.wait_for(_embedded([entry], call))
    return await _answer(call, [entry], groups, template=b'{"embedding":%b,"usageMetadata":{"promptTokenCount":%d}}')


async def batch_embed_contents(call: Call) -> Answer:
    """The answer of `:batchEmbedContents`: a list of values for each request, in their order."""
    requests = _requests(call)
    entries = [_entry(fields, call, where=f"requests[{index}].") for index, fields in enumerate(requests)]
    groups = await call.wait_for(_embedded(entries, call))
    return await _answer(call, entries, groups, template=b'{"embeddings":[%b],"usageMetadata":{"promptTokenCount":%d}}')


def model_in_path(call: Call) -> str:
    """The model that the address names, without Google's prefix."""
    name: str = call.scope["path_params"]["model"]
    return name.removeprefix(MODEL_PREFIX)


def _requests(call: Call) -> list[Any]:
    requests, most = call.fields.get("requests"), call.limits.inputs.max_inputs
    if not isinstance(requests, list) or not all(isinstance(one, dict) for one in requests):
        raise InvalidField(
            "'requests' has to be a list of objects, each with its 'content'. `:embedContent` takes a single one.",
            param="requests",
        )
    if not requests:
        raise InvalidField("'requests' is an empty list. Give at least one request.", param="requests")
    if len(requests) > most:
        raise TooManyInputs(
            f"'requests' has {len(requests)} items and the limit is {most}. Send them in several calls.",
            param="requests",
        )
    return requests


def _entry(fields: Fields, call: Call, *, where: str) -> _Entry:
    """`where` stands before the names of fields in messages. Raises `InvalidField`, `InvalidImage`."""
    _check_model(fields, model_in_path(call), where=where)
    fields = _with_config(fields)
    return _Entry(
        item=read_content(fields.get("content"), name=f"{where}content", limits=call.limits.inputs),
        options=_Options(
            side=_task(fields),
            dimensions=whole_number(
                fields,
                "outputDimensionality",
                "output_dimensionality",
                minimum=1,
                otherwise="Leave it out for the model's own size.",
            ),
            overflow=Overflow.TRUNCATE
            if flag(fields, "autoTruncate", "auto_truncate", default=True)
            else Overflow.REFUSE,
        ),
        has_title=bool(fields.get("title")),
    )


def _check_model(fields: Fields, asked: str, *, where: str) -> None:
    """A request may repeat the model that the address names; another one would get vectors of the wrong model."""
    name = fields.get("model")
    if name is None or name == "":
        return
    if not isinstance(name, str):
        raise InvalidField(f"'{where}model' has to be a string, not {kind_of(name)}.", param="model")
    if name.removeprefix(MODEL_PREFIX).lower() != asked.lower():
        raise InvalidField(
            f"'{where}model' is another model than the one in the address. Name the same one, or leave it out.",
            param="model",
        )


def _with_config(fields: Fields) -> Fields:
    """The fields with those of `embedContentConfig` among them, where newer clients have them."""
    name, config = given(fields, "embedContentConfig", "embed_content_config")
    if config is None:
        return fields
    if not isinstance(config, Mapping):
        raise InvalidField(f"'{name}' has to be an object, not {kind_of(config)}.", param=name)
    return {**fields, **{key: value for key, value in config.items() if value is not None}}


def _task(fields: Fields) -> str | None:
    name, value = given(fields, *_TASK_NAMES)
    if type(value) is not int:
        return word(fields, *_TASK_NAMES)
    if not 0 <= value < len(_TASKS):
        raise InvalidField(f"'{name}' has to be one of {', '.join(_TASKS)}.", param=name)
    return _TASKS[value]


async def _embedded(entries: Sequence[_Entry], call: Call) -> list[_Group]:
    """A request for each set of options, nearly always one."""
    indices: dict[_Options, list[int]] = {}
    for index, entry in enumerate(entries):
        indices.setdefault(entry.options, []).append(index)
    return [
        _Group(own, await call.services.embedder.embed(_request([entries[index].item for index in own], options, call)))
        for options, own in indices.items()
    ]


def _request(items: Sequence[Item], options: _Options, call: Call) -> EmbedRequest:
    return EmbedRequest(
        inputs=items,
        deadline=call.deadline,
        model=model_in_path(call),
        dimensions=options.dimensions,
        overflow=options.overflow,
        side=options.side,
        texts_only=all(isinstance(item, TextInput) for item in items),
        caller=call.caller,
    )


async def _answer(call: Call, entries: Sequence[_Entry], groups: Sequence[_Group], *, template: bytes) -> Answer:
    usages = [group.result.usage for group in groups]
    usage = Usage(
        prompt_tokens=sum(one.prompt_tokens for one in usages),
        total_tokens=sum(one.total_tokens for one in usages),
        image_tokens=sum(one.image_tokens for one in usages),
    )
    first = groups[0].result
    call.note(model=first.model, inputs=len(entries), usage=usage, stages=first.stages)
    body = await written(
        lambda: template % (b",".join(_values(groups, count=len(entries))), usage.prompt_tokens),
        expected_bytes=_BYTES_PER_NUMBER * sum(group.result.vectors.size for group in groups),
    )
    warnings = dict.fromkeys(warning for group in groups for warning in group.result.warnings)
    if any(entry.has_title for entry in entries):
        warnings[_TITLE_IGNORED] = None
    return Answer(body, warnings=tuple(warnings))


def _values(groups: Sequence[_Group], *, count: int) -> list[bytes]:
    """Google's object of each vector, in the order of the entries."""
    texts = [b""] * count
    for group in groups:
        for index, row in zip(group.indices, float_lists(group.result.vectors), strict=True):
            texts[index] = b"".join((b'{"values":', row, b"}"))
    return texts


async def count_tokens(call: Call) -> Answer:
    """The answer of `:countTokens`: the tokens of texts by the model's own tokenizer, special ones included."""
    fields = call.fields
    wrapped = given(fields, "generateContentRequest", "generate_content_request")[1]
    contents = (wrapped if isinstance(wrapped, dict) else fields).get("contents")
    contents = contents if isinstance(contents, list) else [contents]
    if len(contents) > call.limits.inputs.max_inputs:
        raise TooManyInputs(
            f"'contents' has {len(contents)} items and the limit is {call.limits.inputs.max_inputs}.", param="contents"
        )
    texts = [
        read_text(content, name=f"contents[{index}]", limits=call.limits.inputs)
        for index, content in enumerate(contents)
    ]
    async with before(call.deadline):
        work = call.services.tokenizer.tokenize(texts, model=model_in_path(call), special_tokens=True, side=None)
        rows = await call.wait_for(work)
    return Answer(orjson.dumps({"totalTokens": sum(map(len, rows))}))
