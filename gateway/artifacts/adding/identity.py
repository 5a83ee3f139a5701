"""What an added model is called here, and what its repository says of its licence."""

from __future__ import annotations

import re

from huggingface_hub import RepoCard

from gateway.artifacts.adding.published import Fact, Published
from gateway.cards.loading import MODEL_NAME
from gateway.errors import ConfigurationError

README_FILE = "README.md"
UNKNOWN_LICENCE = "unknown"

_LARGEST_README_BYTES = 1 << 20

# Where a README has metadata at all; asked of one without, huggingface_hub logs a warning.
_METADATA = re.compile(r"\s*---[\r\n]+[\S\s]*?[\r\n]+---(\r?\n|$)")
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
# The hub writes licences in lower case. Where SPDX's spelling is not just the same in capitals, it is here.
_SPELLINGS = {"apache-2.0": "Apache-2.0", "bsd-3-clause": "BSD-3-Clause", "bsd-2-clause": "BSD-2-Clause"}
_IN_CAPITALS = ("cc-", "cc0-", "mit", "agpl-", "gpl-", "lgpl-", "mpl-")


def check_repository(name: str) -> None:
    """Raises `ConfigurationError` for anything but OWNER/NAME, such as an address or a folder."""
    if not _REPOSITORY.fullmatch(name) or ".." in name or name.endswith((".git", ".")):
        raise ConfigurationError(
            f"{name!r} is not the name of a repository on the model hub.",
            remedy="Name it as OWNER/NAME, for example BAAI/bge-small-en-v1.5.",
        )


def choose_name(repository: str, asked: str | None) -> str:
    """The operator's word, else the last part of the repository's name. Raises `ConfigurationError` for one that
    Triton would not take."""
    name = asked or repository.rpartition("/")[2]
    if not MODEL_NAME.fullmatch(name) or len(name) > 96:
        raise ConfigurationError(
            f"{name!r} cannot be a model's name.",
            remedy="Give one with --name: letters, digits, dot, dash and underscore, 96 at most.",
        )
    return name


def choose_licence(published: Published, asked: str | None) -> Fact[str]:
    """The operator's word, else the README's, else the hub's; `UNKNOWN_LICENCE` where nobody states one."""
    stated = _stated_licence(published)
    if asked is not None:
        if stated is not None and stated.value.lower() != asked.lower():
            return Fact(asked, f"--licence, though {stated.source} says {stated.value}")
        return Fact(asked, "--licence")
    return stated or Fact(UNKNOWN_LICENCE, "the repository states none: ask its authors")


def base_models(published: Published) -> tuple[str, ...]:
    """The models that the README says this one was made from."""
    stated = getattr(_metadata(published), "base_model", None)
    names = stated if isinstance(stated, list) else [stated]
    return tuple(name for name in names if isinstance(name, str))


def _stated_licence(published: Published) -> Fact[str] | None:
    data = _metadata(published)
    written = _licence_of(getattr(data, "license", None), getattr(data, "license_name", None))
    if written is not None:
        return Fact(written, README_FILE)
    if published.listing.licence:
        return Fact(_spelled(published.listing.licence), "the hub")
    return None


def _licence_of(stated: object, own_name: object) -> str | None:
    """What a README's metadata calls its licence; `own_name` is the name of one that is none of the usual."""
    if isinstance(stated, list):
        return " and ".join(_spelled(str(one)) for one in stated) or None
    if not isinstance(stated, str) or not stated.strip():
        return None
    return _spelled(own_name if stated.strip().lower() == "other" and isinstance(own_name, str) else stated)


def _metadata(published: Published) -> object:
    """What stands at the top of the README, by attributes; None where there is nothing that can be read."""
    if not published.has(README_FILE) or (published.size_of(README_FILE) or 0) > _LARGEST_README_BYTES:
        return None
    text = published.read(README_FILE).decode("utf-8", "replace")
    if not _METADATA.match(text):
        return None
    try:
        return RepoCard(text, ignore_metadata_errors=True).data
    except Exception:  # noqa: BLE001 - written by hand it may be anything, and nothing here depends on it
        return None


def _spelled(licence: str) -> str:
    licence = " ".join(licence.split())[:80]
    plain = licence.lower()
    if plain in _SPELLINGS:
        return _SPELLINGS[plain]
    return licence.upper() if plain.startswith(_IN_CAPITALS) else licence
