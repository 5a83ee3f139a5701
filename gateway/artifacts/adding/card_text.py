"""A plan as `card.toml`, for people to read: every value with a comment that says where it came from.

Own template, as tomli-w writes no comments.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date

from gateway.artifacts.adding.plan import TOKENIZER_FILE, Plan
from gateway.artifacts.placing import Content
from gateway.cards.schema import VERSION_FOLDER, TaskTable
from gateway.cards.triton_spec import GraphInput, GraphOutput

CANARY_TEXT = "The quick brown fox jumps over the lazy dog."
# From here on what a text needed is worth giving back to the system after its call.
_LONG_WINDOW = 2048

Value = str | int | float | bool | date | tuple[int, ...]


def card_text(plan: Plan, pins: Mapping[str, Content]) -> str:
    """The card. `pins` are the files whose bytes are known, by path: their sizes and hashes are stated."""
    return "\n".join(_lines(plan, pins)) + "\n"


def toml_value(value: Value) -> str:
    """A value as TOML writes it. Its texts are JSON's but for DEL, which TOML wants escaped."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return value.isoformat() if isinstance(value, date) else repr(value)


def _lines(plan: Plan, pins: Mapping[str, Content]) -> Iterator[str]:
    yield f"# Written by `gateway models add {plan.repository}`. Yours to change; afterwards `gateway models render`"
    yield f"# writes config.pbtxt from it, and `gateway models verify {plan.name}` proves that it still fits the files."
    yield _line("name", plan.name)
    yield _line("hub_id", plan.hub_id)
    if plan.repository != plan.hub_id:
        yield _line("repository", plan.repository)
    yield from _sourced("revision", plan.revision.value, plan.revision.source)
    yield from _sourced("licence", plan.licence.value, plan.licence.source)
    yield from _sourced("released", plan.released.value, plan.released.source)
    yield _line("summary", plan.summary)
    yield from ("", "[tokenizer]", _line("file", f"{VERSION_FOLDER}/{TOKENIZER_FILE}"))
    yield from _sourced("max_tokens", plan.max_tokens.value, plan.max_tokens.source)
    yield from _sourced("pad_id", plan.pad_id.value, plan.pad_id.source)
    yield from _vectors(plan)
    yield from _tasks(plan.tasks.value, plan.tasks.source)
    yield from _triton(plan)
    yield from ("", "# No reference vector is known; the one that the installed files gave stands in for it.")
    yield from ("[canary]", _line("text", CANARY_TEXT))
    yield from _graph(plan)
    yield from _files(plan, pins)


def _vectors(plan: Plan) -> Iterator[str]:
    source = plan.graph.source
    yield from ("", "[vectors]")
    yield from _sourced("dimensions", source.dimensions.value, source.dimensions.source)
    yield from _sourced("pooling", source.pooling.value, source.pooling.source)
    if plan.matryoshka.value:
        yield from _sourced("matryoshka", plan.matryoshka.value, plan.matryoshka.source)


def _tasks(table: TaskTable, source: str) -> Iterator[str]:
    if not table.tasks:
        return
    yield from ("", f"# Source: {_one_line(source)}; its prompts, by their names.", "[tasks]")
    if table.default is not None:
        yield _line("default", table.default)
    for task in table.tasks:
        yield from ("", "[[tasks.list]]", _line("name", task.name), _line("prompt", task.prompt or ""))
        if task.role is not None:
            yield _line("role", task.role.value)


def _triton(plan: Plan) -> Iterator[str]:
    yield from ("", "[triton]", _line("backend", "onnxruntime"), _line("default_model_filename", plan.graph.built))
    yield "# One instance: Triton's own default on CPU is two, which would hold the weights twice."
    yield _line("instance_count", 1)
    yield "# A GPU where there is one, else the CPU."
    yield _line("instance_kind", "KIND_AUTO")
    if plan.max_tokens.value >= _LONG_WINDOW:
        yield from ("", "[triton.parameters]", "# What a long text needed goes back to the system after its call.")
        yield '"memory.enable_memory_arena_shrinkage" = "cpu:0"'
    for kind, items in (("inputs", plan.graph.inputs), ("outputs", plan.graph.outputs)):
        for item in items:
            yield from _tensor(kind, item)


def _tensor(kind: str, item: GraphInput | GraphOutput) -> Iterator[str]:
    yield from ("", f"[[triton.{kind}]]", _line("name", item.tensor.name), _line("data_type", item.tensor.data_type))
    yield from (_line("dims", item.tensor.dims), _line("role", item.role.value))


def _graph(plan: Plan) -> Iterator[str]:
    graph = plan.graph
    yield ""
    if graph.weights is None:
        yield "# Which of the published graph's outputs holds what."
    else:
        yield "# The graph is built here around the published weights; these lines of their config.json it depends on."
    yield from ("[graph]", _line("builder", graph.builder))
    if graph.weights is not None:
        yield _line("weights", graph.weights)
    yield from ("", "[graph.config]")
    for key, value in sorted(graph.config.items()):
        yield f"{key} = {json.dumps(value, ensure_ascii=False)}"


def _files(plan: Plan, pins: Mapping[str, Content]) -> Iterator[str]:
    for path, hub_path in plan.published.items():
        yield from ("", "[[files]]", _line("path", path))
        if path in pins:
            yield from (_line("size_bytes", pins[path].size_bytes), _line("sha256", pins[path].sha256))
        yield _line("hub_path", hub_path)
        if plan.graph.variant is not None and hub_path in plan.graph.published.values():
            yield _line("variant", plan.graph.variant)
    yield from ("", "[[files]]", _line("path", f"{VERSION_FOLDER}/{plan.graph.built}"))
    yield _line("built_by", plan.graph.builder)


def _sourced(key: str, value: Value, source: str) -> Iterator[str]:
    yield f"# Source: {_one_line(source)}."
    yield _line(key, value)


def _line(key: str, value: Value) -> str:
    return f"{key} = {toml_value(value)}"


def _one_line(source: str) -> str:
    """A comment ends with its line, and TOML allows no control characters in it."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in source).split())
