"""Which of the ONNX files that a repository publishes is the one to serve."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from gateway.artifacts.adding.published import Fact, Published, joined
from gateway.artifacts.adding.refusal import CannotServe
from gateway.artifacts.variants import FULL_PRECISION, variant_in

_PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


@dataclass(frozen=True, slots=True)
class OnnxChoice:
    """`path` is in the repository; `variant` is the word for its precision, None where its name has none."""

    path: Fact[str]
    variant: str | None = None


def choose_onnx(published: Published, folder: str, *, file: str | None, variant: str | None) -> OnnxChoice | None:
    """The file that the operator asked for, else `onnx/model.onnx`, else `model.onnx`, else the only one there is.

    `folder` is the transformer's own. None where the repository has no ONNX file at all and none was asked for. Raises
    `CannotServe` where there is no such file, or several of which none is the usual one.
    """
    paths = published.paths(".onnx")
    if file is not None:
        if file not in paths:
            raise CannotServe(f"The repository has no ONNX file {file}.", remedy=_offer(paths, folder))
        return _chosen(Fact(file, "--file"))
    variants = _variants(paths, folder)
    if variant is not None:
        found = next((path for word, path in variants.items() if word.lower() == variant.lower()), None)
        if found is None:
            raise CannotServe(
                f"The repository has no ONNX file of the variant {variant}.", remedy=_offer(paths, folder)
            )
        return _chosen(Fact(found, "--variant"))
    if FULL_PRECISION in variants:
        return _chosen(Fact(variants[FULL_PRECISION], "the usual place"))
    if len(paths) > 1:
        raise CannotServe(
            f"The repository has {len(paths)} ONNX files, none of them at the usual onnx/model.onnx or model.onnx.",
            remedy=_offer(paths, folder),
        )
    return _chosen(Fact(paths[0], "the only ONNX file")) if paths else None


def no_weights(published: Published) -> CannotServe:
    """What is said to a repository without an ONNX file, and without weights that a graph is built for here."""
    pickled = [path for ending in _PICKLED for path in published.paths(ending)]
    if published.paths(".safetensors"):
        what = "It publishes no ONNX file, and a graph for its safetensors weights is built here for plain BERT alone."
    elif pickled:
        what = f"It publishes its weights as {pickled[0]} alone: a pickle, which is a program and is not opened here."
    else:
        what = "It publishes no ONNX file."
    name = published.listing.repository
    return CannotServe(
        what,
        remedy=f"Export it with `optimum-cli export onnx --model {name} FOLDER`, publish the folder as a repository of "
        "your own and add that; or look for a repository that has it as ONNX already.",
    )


def _chosen(path: Fact[str]) -> OnnxChoice:
    word = variant_in(path.value)
    # Only words that `gateway models pull --variant` takes too.
    return OnnxChoice(path, word if word is not None and re.fullmatch(r"[a-z0-9][a-z0-9_]*", word) else None)


def _variants(paths: tuple[str, ...], folder: str) -> Mapping[str, str]:
    """Paths by variant; of two places the first one of `_folders` wins."""
    found: dict[str, str] = {}
    for place in _folders(folder):
        for path in paths:
            word = variant_in(path)
            if word is not None and PurePosixPath(path).parent.as_posix() == (place or "."):
                found.setdefault(word, path)
    return found


def _folders(folder: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((joined(folder, "onnx"), folder, "onnx", "")))


def _offer(paths: tuple[str, ...], folder: str) -> str:
    if not paths:
        return "It has no ONNX file at all."
    variants = _variants(paths, folder)
    words = f" or --variant {' | '.join(variants)}" if variants else ""
    return f"Name one with --file {' | '.join(paths)}{words}."
