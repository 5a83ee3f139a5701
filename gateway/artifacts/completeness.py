"""Whether a model is installed whole: the cheap question, asked at every start. The lock's word and the files' sizes
decide; `verification.verify` reads contents.
"""

from __future__ import annotations

from gateway.artifacts.graphs.recipe import SERVING, recipe
from gateway.artifacts.lock import FOUND, is_commit
from gateway.artifacts.shards import indexes_of, shards_on_disk, single_file
from gateway.artifacts.variants import default_variant, graph_of, is_guess
from gateway.cards.installation import Installation, LockedFile, read_installation
from gateway.cards.schema import Card, FileSpec


def is_complete(card: Card) -> bool:
    """Whether everything that the installed variant needs is there and belongs together.

    A lock that says nothing counts as none; then a model whose every file is pinned by its card, as one copied here
    from elsewhere, is judged by their sizes.
    """
    return not missing_files(card)


def missing_files(card: Card) -> tuple[FileSpec, ...]:
    """The files that are absent, of the wrong size or not proved to be the right ones; none for a complete model."""
    installation = read_installation(card)
    needed = needed_files(card, installation)
    if installation.repository not in (None, card.repository):
        return tuple(file for file in needed if file.sha256 is None)
    if not installation.files and (is_under_way(installation) or not all(map(_is_pinned, needed))):
        absent = tuple(file for file in needed if not has_size(card, file))
        return absent or tuple(file for file in needed if file.built_by) or needed
    return tuple(file for file in needed if not _is_installed(card, file, installation))


def has_files(card: Card) -> bool:
    """Whether anything of what the card lists is there, complete or not."""
    return any(card.path_of(file.path).exists() for file in card.files)


def is_under_way(installation: Installation) -> bool:
    """Whether there is a lock of an installation that has not come to its end."""
    return not installation.files and (installation.repository is not None or bool(installation.spare))


def needed_files(card: Card, installation: Installation) -> tuple[FileSpec, ...]:
    """What the installed variant consists of, as the card and, for what a card cannot know, the lock say it."""
    variant = installation.variant or default_variant(card)
    listed = {file.path: file for file in card.files_of(variant)}
    graph = graph_of(card, variant)
    if graph is not None:
        listed[graph.path] = graph
    for index in indexes_of(card.files_of(variant)):
        listed |= {file.path: file for file in shards_on_disk(card, index)}
        single = single_file(index)
        if _is_in_place_of(single, index, card, installation):
            del listed[index.path]
            listed.setdefault(single.path, single)
    if installation.files:
        # Which data files there are the graph says, and the lock for it.
        listed = {
            path: file for path, file in listed.items() if path in installation.files or not is_guess(graph, file)
        }
        listed |= {path: FileSpec(path) for path in installation.files if path not in listed}
    return tuple(listed.values())


def _is_in_place_of(single: FileSpec, index: FileSpec, card: Card, installation: Installation) -> bool:
    """Whether all weights are in one file, as in a repository that has no index."""
    if installation.files:
        return single.path in installation.files and index.path not in installation.files
    return card.path_of(single.path).exists() and not card.path_of(index.path).exists()


def has_size(card: Card, file: FileSpec, locked: LockedFile | None = None) -> bool:
    """Whether the file is there, of the size that the card or the lock knows; of any where neither does."""
    try:
        status = card.path_of(file.path).stat()
    except OSError:
        return False
    size = file.size_bytes or (locked.size_bytes if locked is not None else None)
    return status.st_size == size if size is not None else status.st_size > 0


def is_as_stated(card: Card, file: FileSpec, locked: LockedFile) -> bool:
    """Whether what the lock says of a file fits the card: its hash, or, where the card has none, what it came from."""
    if file.sha256 is not None:
        return file.sha256 == locked.sha256
    if file.built_by == SERVING:
        return locked.revision == recipe(card)
    is_pinned = file.hub_path is not None and is_commit(card.revision) and locked.source != FOUND
    return not is_pinned or locked.revision == card.revision


def _is_installed(card: Card, file: FileSpec, installation: Installation) -> bool:
    locked = installation.files.get(file.path)
    if locked is None:
        return not installation.files and has_size(card, file)
    return is_as_stated(card, file, locked) and has_size(card, file, locked)


def _is_pinned(file: FileSpec) -> bool:
    # Of an index nobody but itself says what else there has to be.
    return file.size_bytes is not None and file.sha256 is not None and not file.lists_shards
