"""The tables of a card, one function each: TOML in, checked specs out."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from gateway.cards.schema import (
    IN_GRAPH,
    BatchSpec,
    CanarySpec,
    FileSpec,
    GraphSpec,
    ImageSpec,
    PrecisionSpec,
    RerankSpec,
    Role,
    TaskSpec,
    TaskTable,
    TokenizerSpec,
    VectorSpec,
    WheelSpec,
)
from gateway.cards.section import Section
from gateway.cards.triton_spec import (
    INPUT_TYPES,
    GraphInput,
    GraphOutput,
    InputRole,
    OutputRole,
    TensorSpec,
    TritonSpec,
)
from gateway.types import FAST_MIN_COSINE
from gateway.vectors.pooling import POOLINGS

INSTANCE_KINDS = ("KIND_AUTO", "KIND_CPU", "KIND_GPU", "KIND_MODEL")
SHA256 = re.compile(r"[0-9a-f]{64}")


def read_tokenizer(section: Section) -> TokenizerSpec:
    spec = TokenizerSpec(
        file=_relative_path(section, "file"),
        max_tokens=section.integer("max_tokens", minimum=1),
        pad_id=section.integer("pad_id", minimum=0),
    )
    section.finish()
    return spec


def read_vectors(section: Section | None, *, max_tokens: int) -> VectorSpec | None:
    """`max_tokens` is the model's window; windows that shared all of it would bring nothing new."""
    if section is None:
        return None
    dimensions = section.integer("dimensions", minimum=1)
    spec = VectorSpec(
        dimensions=dimensions,
        pooling=section.one_of("pooling", (*POOLINGS, IN_GRAPH)),
        matryoshka=section.integers("matryoshka", default=()),
        overlap_tokens=section.integer("overlap_tokens", minimum=0, default=min(256, max_tokens // 4)),
        token_dimensions=section.optional_integer("token_dimensions", minimum=1),
    )
    if spec.overlap_tokens >= max_tokens:
        section.fault("overlap_tokens", f"less than tokenizer.max_tokens, {max_tokens}")
    if any(not 1 <= size <= dimensions for size in spec.matryoshka):
        section.fault("matryoshka", f"a list of sizes from 1 to {dimensions}")
    section.finish()
    return spec


def read_images(section: Section | None) -> ImageSpec | None:
    if section is None:
        return None
    spec = ImageSpec(
        prompt=section.text("prompt"),
        pad_token=section.text("pad_token"),
        unit_pixels=section.integer("unit_pixels", minimum=1),
        min_pixels=section.integer("min_pixels", minimum=1),
        max_pixels=section.integer("max_pixels", minimum=1),
        max_aspect_ratio=section.integer("max_aspect_ratio", minimum=1, default=200),
    )
    if spec.prompt.count(spec.pad_token) != 1:
        section.fault("prompt", "a text in which pad_token stands once")
    section.finish()
    return spec


def read_reranking(section: Section | None) -> RerankSpec | None:
    if section is None:
        return None
    default = RerankSpec()
    spec = RerankSpec(
        max_query_tokens=section.integer("max_query_tokens", minimum=1, default=default.max_query_tokens),
        overlap_tokens=section.integer("overlap_tokens", minimum=0, default=default.overlap_tokens),
    )
    section.finish()
    return spec


def read_tasks(section: Section | None) -> TaskTable:
    """`[tasks]` with its list `[[tasks.list]]`."""
    if section is None:
        return TaskTable()
    tasks = tuple(_task(part) for part in section.sections("list"))
    names = [task.name for task in tasks]
    if len(set(names)) != len(names):
        section.fault("list", "a list in which every name comes once")
    prompts = section.table_of_texts("prompts")
    if not set(prompts) <= {role.value for role in Role}:
        section.fault("prompts", "a table with the keys " + " and ".join(role.value for role in Role))
    aliases = section.table_of_texts("aliases")
    if not set(aliases.values()) <= set(names):
        section.fault("aliases", "a table of words and the names of tasks that they stand for")
    default = section.optional_text("default")
    if default is not None and default not in names:
        section.fault("default", "one of the tasks in its list")
    section.finish()
    return TaskTable(
        tasks=tasks,
        default=default,
        prompts={Role(role): prompt for role, prompt in prompts.items()},
        aliases={word.lower(): name for word, name in aliases.items()},
    )


def _task(section: Section) -> TaskSpec:
    spec = TaskSpec(
        name=section.text("name"),
        prompt=section.any_text("prompt"),
        role=section.choice("role", Role) if section.has("role") else None,
        adapter=section.optional_integer("adapter", minimum=0),
        member=section.optional_text("member"),
    )
    section.finish()
    return spec


def read_triton(section: Section) -> TritonSpec:
    inputs, outputs = [], []
    for part in section.sections("inputs"):
        tensor = _tensor(part)
        if tensor.data_type not in INPUT_TYPES:
            part.fault("data_type", "one of " + ", ".join(INPUT_TYPES))
        inputs.append(GraphInput(tensor=tensor, role=part.choice("role", InputRole)))
        part.finish()
    for part in section.sections("outputs"):
        outputs.append(GraphOutput(tensor=_tensor(part), role=part.choice("role", OutputRole)))
        part.finish()
    parameters = section.mapping("parameters")
    if not all(isinstance(value, str) for value in parameters.values()):
        section.fault("parameters", "a table of quoted texts: Triton takes parameters as strings")
    spec = TritonSpec(
        backend=section.text("backend"),
        default_model_filename=section.text("default_model_filename"),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        instance_count=section.integer("instance_count", minimum=1, default=1),
        instance_kind=section.one_of("instance_kind", INSTANCE_KINDS),
        parameters={key: str(value) for key, value in parameters.items()},
    )
    section.finish()
    return spec


def _tensor(section: Section) -> TensorSpec:
    dims = section.integers("dims")
    if not dims or any(size < 1 and size != -1 for size in dims):
        section.fault("dims", "the full shape: sizes of at least 1, and -1 where a size varies")
    data_type = section.text("data_type")
    if not data_type.startswith("TYPE_"):
        section.fault("data_type", "a Triton data type such as TYPE_INT64")
    return TensorSpec(
        name=section.text("name"), data_type=data_type, dims=dims, optional=section.boolean("optional", default=False)
    )


def read_file(section: Section) -> FileSpec:
    spec = FileSpec(
        path=_relative_path(section, "path"),
        size_bytes=section.optional_integer("size_bytes", minimum=1),
        sha256=section.optional_text("sha256"),
        hub_path=section.optional_text("hub_path"),
        wheel_path=section.optional_text("wheel_path"),
        built_by=section.optional_text("built_by"),
        variant=section.optional_text("variant"),
        lists_shards=section.boolean("lists_shards", default=False),
    )
    if spec.sha256 is not None and not SHA256.fullmatch(spec.sha256):
        section.fault("sha256", "64 lower-case hexadecimal digits")
    if bool(spec.built_by) == bool(spec.hub_path or spec.wheel_path):
        section.fault("built_by", "given where the file has neither hub_path nor wheel_path, and only there")
    section.finish()
    return spec


def _relative_path(section: Section, key: str) -> str:
    path = section.text(key)
    parts = PurePosixPath(path).parts
    if "\\" in path or path.startswith("/") or ".." in parts or not parts:
        section.fault(key, "a path inside the model folder, with forward slashes")
    return path


def read_canary(section: Section) -> CanarySpec:
    spec = CanarySpec(
        text=section.text("text"),
        expected=section.numbers("expected") if section.has("expected") else (),
        tolerance=section.number("tolerance", default=1e-3),
        query=section.optional_text("query"),
    )
    section.finish()
    return spec


def read_batching(section: Section | None) -> BatchSpec:
    if section is None:
        return BatchSpec()
    default = BatchSpec()
    spec = BatchSpec(
        max_batch_tokens=section.integer("max_batch_tokens", minimum=1, default=default.max_batch_tokens),
        max_batch_tokens_on_gpu=section.integer(
            "max_batch_tokens_on_gpu", minimum=1, default=default.max_batch_tokens_on_gpu
        ),
        long_row_tokens=section.integer("long_row_tokens", minimum=1, default=default.long_row_tokens),
    )
    section.finish()
    return spec


def read_precision(section: Section | None) -> PrecisionSpec:
    if section is None:
        return PrecisionSpec()
    spec = PrecisionSpec(
        why_not=section.optional_text("why_not"),
        fast_min_cosine=section.number("fast_min_cosine", default=1.0) if section.has("fast_min_cosine") else None,
    )
    if spec.fast_min_cosine is not None and not FAST_MIN_COSINE <= spec.fast_min_cosine <= 1:
        section.fault(
            "fast_min_cosine", f"a cosine from {FAST_MIN_COSINE} to 1; a model below that has why_not instead"
        )
    if spec.fast_min_cosine is not None and spec.why_not is not None:
        section.fault("why_not", "left out where fast_min_cosine says that the model may be served fast")
    section.finish()
    return spec


def read_wheel(section: Section | None) -> WheelSpec | None:
    if section is None:
        return None
    spec = WheelSpec(
        project=section.text("project"),
        version=section.text("version"),
        sha256=section.text("sha256"),
        size_bytes=section.optional_integer("size_bytes", minimum=1),
    )
    if not SHA256.fullmatch(spec.sha256):
        section.fault("sha256", "64 lower-case hexadecimal digits")
    section.finish()
    return spec


def read_graph(section: Section | None) -> GraphSpec | None:
    if section is None:
        return None
    spec = GraphSpec(
        builder=section.text("builder"),
        weights=_relative_path(section, "weights") if section.has("weights") else None,
        config=section.mapping("config"),
    )
    section.finish()
    return spec
