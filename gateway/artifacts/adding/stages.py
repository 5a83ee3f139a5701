"""The pipeline of a sentence-transformers repository: which stages make a vector, and which of them are known here.

Stage kinds and their files as sentence-transformers 6.2 reads them (`modules.json`, `N_Pooling/config.json`,
`N_Dense/config.json`); older repositories name the same stages by other module paths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from gateway.artifacts.adding.pooling_stage import PoolingStage, read_pooling
from gateway.artifacts.adding.published import Document, Fact, Published, joined
from gateway.artifacts.adding.refusal import CannotServe

MODULES_FILE = "modules.json"
OWN_PACKAGE = "sentence_transformers"
_SENTENCE = "sentence_embedding"


@dataclass(frozen=True, slots=True)
class DenseStage:
    """A linear layer after the pooling, which maps `in_features` numbers to `out_features`."""

    folder: str
    in_features: int
    out_features: int


@dataclass(frozen=True, slots=True)
class Stages:
    """`folder` holds the transformer's own files, empty for the repository's root."""

    folder: str = ""
    pooling: Fact[PoolingStage] | None = None
    dense: tuple[DenseStage, ...] = ()
    normalizes: bool = False


def read_stages(published: Published) -> Stages | None:
    """None where the repository has no `modules.json`. Raises `CannotServe` for a stage that is not known here."""
    modules = published.documents(MODULES_FILE)
    if modules is None:
        return None
    kinds = [_kind(module) for module in modules]
    folders = [_folder(module) for module in modules]
    if kinds[:1] != ["Transformer"] or kinds.count("Transformer") > 1 or kinds.count("Pooling") > 1:
        raise _unknown(f"the stages are {', '.join(kinds) or 'none'}, where one Transformer is followed by one Pooling")
    pooling: Fact[PoolingStage] | None = None
    dense: list[DenseStage] = []
    for kind, folder in list(zip(kinds, folders, strict=True))[1:]:
        if kind == "Pooling":
            path = joined(folder, "config.json")
            pooling = Fact(read_pooling(_config(published, folder), path), path)
        elif kind == "Dense":
            dense.append(_dense(_config(published, folder), folder))
        elif kind == "Normalize":
            _check_normalize(published, folder)
        elif kind != "Dropout":  # which does nothing but in training
            raise _unknown(f"the stage {kind} is not known here")
    return Stages(folder=folders[0], pooling=pooling, dense=tuple(dense), normalizes="Normalize" in kinds)


def _kind(module: Document) -> str:
    """The stage's class, by its name: where in sentence-transformers it lives has changed over time."""
    name = module.get("type")
    if not isinstance(name, str) or not name:
        raise _unknown("a stage has no type")
    package, _, _ = name.partition(".")
    if package != OWN_PACKAGE:
        raise _unknown(f"the stage {name} is code of the repository's own, which is not run here")
    return name.rpartition(".")[2]


def _folder(module: Document) -> str:
    path = module.get("path", "")
    parts = PurePosixPath(path).parts if isinstance(path, str) else ("..",)
    if ".." in parts or "/" in parts:
        raise _unknown("a stage's path leads out of the repository")
    return "/".join(parts)


def _config(published: Published, folder: str) -> Document:
    path = joined(folder, "config.json")
    config = published.document(path)
    if config is None:
        raise _unknown(f"{path} is missing")
    return config


def _dense(config: Document, folder: str) -> DenseStage:
    sizes = [config.get(key) for key in ("in_features", "out_features")]
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise _unknown(f"{folder}/config.json does not say what the Dense stage maps to what")
    if _others(config):
        raise _unknown(f"the Dense stage {folder} maps something else than the sentence's vector")
    return DenseStage(folder, int(str(sizes[0])), int(str(sizes[1])))


def _check_normalize(published: Published, folder: str) -> None:
    """Vectors leave at unit length here anyway; a stage that is about something else would be left out."""
    config = published.document(joined(folder, "config.json")) or {}
    if _others(config):
        raise _unknown(f"the Normalize stage {folder} is about something else than the sentence's vector")


def _others(config: Document) -> Sequence[object]:
    """What a stage reads or writes beside the sentence's vector, as models of several vectors a text do."""
    names = (config.get("module_input_name"), config.get("module_output_name"))
    return [name for name in names if name not in (None, _SENTENCE)]


def _unknown(what: str) -> CannotServe:
    return CannotServe(
        f"The vectors are made by stages that cannot be served here ({MODULES_FILE}): {what}. Left out or guessed at, "
        "the vectors would be others than the authors'.",
        remedy="Serve it with sentence-transformers, or export all stages into one ONNX graph with an output named "
        "sentence_embedding and publish that in a repository without modules.json.",
    )
