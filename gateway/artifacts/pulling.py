"""Bringing a model's files onto this machine: fetched or built, checked, measured, locked. Again costs next to nothing.

A kill at any point leaves either what was installed before, or what is installed now, or nothing that counts as
complete (`gateway.artifacts.ledger` sees to that), and the next pull goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.artifacts.building import candidate
from gateway.artifacts.completeness import has_size, is_under_way, missing_files
from gateway.artifacts.exclusive import exclusive
from gateway.artifacts.graphs.external_data import data_files
from gateway.artifacts.graphs.recipe import SERVING
from gateway.artifacts.hub import file_metadata
from gateway.artifacts.hub_access import HubFile, NotOnHub
from gateway.artifacts.hub_repository import DEFAULT_REVISION, list_files
from gateway.artifacts.ledger import Ledger
from gateway.artifacts.lock import FOUND, HUB, is_commit
from gateway.artifacts.measuring import Measured, load_tokenizer, measure
from gateway.artifacts.onnx_inspection import graph_path
from gateway.artifacts.placing import Content, Expected, content_of, place_file, sweep_incoming
from gateway.artifacts.room import bytes_there, check_room, published_sizes
from gateway.artifacts.shards import (
    check_index_size,
    check_shards,
    check_staged,
    indexes_of,
    shards_of,
    single_file,
)
from gateway.artifacts.sources import Fetching, fetch_files
from gateway.artifacts.variants import built_files, chosen_variant, data_of, graph_of, published_files, variants_among
from gateway.cards.installation import read_installation
from gateway.cards.schema import VERSION_FOLDER, Card, FileSpec
from gateway.errors import ArtifactError, SourceUnavailable
from gateway.text.canary_row import canary_row

PULL_LOCK_FILE = f"{VERSION_FOLDER}/.pull.lock"


@dataclass(frozen=True, slots=True)
class PullResult:
    """`installed` are the paths that were fetched or built now, `removed` those of another variant that left; both are
    empty when everything was there. `variant` is the installed precision, None where there is only one."""

    installed: tuple[str, ...]
    removed: tuple[str, ...] = ()
    variant: str | None = None


def pull(card: Card, fetching: Fetching, *, rehash: bool = False, variant: str | None = None) -> PullResult:
    """Make a model's files complete and right, in one variant: the one asked for, else the installed one, else the
    card's default.

    A file that is there is trusted by its size and the lock's word; `rehash` reads it again. One pull of a model at a
    time: a second one waits, then finds the work done. Raises `ArtifactError` or `ConfigurationError`.
    """
    if not rehash and is_settled(card, variant):
        return PullResult(installed=(), variant=read_installation(card).variant)
    with exclusive(card.path_of(PULL_LOCK_FILE)):
        for folder in {card.path_of(file.path).parent for file in card.files}:
            folder.mkdir(parents=True, exist_ok=True)
            sweep_incoming(folder)
        return _Pull(card, fetching, variant=variant).run(rehash=rehash)


def is_settled(card: Card, variant: str | None = None) -> bool:
    """Whether the lock and the files' sizes say that a pull of this variant has nothing to do. Writes nothing."""
    installation = read_installation(card)
    wanted = chosen_variant(card, variant, installed=installation.variant)
    is_whole = bool(installation.files) and not installation.spare and wanted == installation.variant
    return is_whole and not missing_files(card)


class _Pull:
    """One run. Implements `gateway.artifacts.sources.Receiver`."""

    def __init__(self, card: Card, fetching: Fetching, *, variant: str | None) -> None:
        installation = read_installation(card)
        self.card = card
        self.fetching = fetching
        self.progress = fetching.progress
        self.variant = chosen_variant(card, variant, installed=installation.variant)
        self.graph = graph_of(card, self.variant)
        self.ledger = Ledger(card, installation, variant=self.variant)
        self.is_first = not installation.files and not is_under_way(installation)
        self.changed: list[str] = []

    def run(self, *, rehash: bool) -> PullResult:
        """The graph comes first, or the index of the weights: it tells which files it needs, and one that reaches out
        of its folder is refused before anything is installed."""
        files = {file.path: file for file in published_files(self.card, self.variant)}
        self.progress.expect(list(files))
        if self.graph is not None:
            self._check_published(self.graph)
            self._bring([self.graph], rehash=rehash)
            files |= {file.path: file for file in self._data_of(self.graph, self.card.path_of(self.graph.path))}
            self.progress.expect(list(files))
        for index in indexes_of(list(files.values())):
            del files[index.path]
            files |= {file.path: file for file in self._weights(index, rehash=rehash)}
            self.progress.expect(list(files))
        self._bring([file for file in files.values() if file != self.graph], rehash=rehash)
        built = built_files(self.card)
        measured = [self._build(file) for file in built if not self._is_built(file, rehash=rehash)]
        if not built and (self.changed or not self.ledger.is_whole):
            measured = [self._proved(files)]
        removed = self.ledger.seal([*files, *(file.path for file in built)], next(filter(None, measured), None))
        return PullResult(tuple(self.changed), removed=removed, variant=self.variant)

    def revision(self, file: FileSpec) -> str:
        if self.ledger.commit is None:
            self.ledger.commit = self._resolved(file)
        return self.ledger.commit

    def expected(self, file: FileSpec) -> Expected:
        """The card's word, and where it has none the lock's."""
        stated = self.ledger.stated(file)
        if file.sha256 is None and stated is not None:
            return Expected(file.path, stated.size_bytes, stated.sha256, stated_by="the lock")
        return Expected(file.path, file.size_bytes, file.sha256)

    def before_placing(self, file: FileSpec, staged: Path | None) -> None:
        if file == self.graph and staged is not None:
            self._data_of(file, staged)
        elif staged is not None:
            check_staged(self.card, file, staged)
        self.ledger.about_to_change(file.path)

    def installed(self, file: FileSpec, content: Content, source: str) -> None:
        self.changed.append(file.path)
        self.ledger.record(file, content, source)

    def _bring(self, files: Iterable[FileSpec], *, rehash: bool) -> None:
        wanted = [file for file in files if not self._is_right(file, rehash=rehash)]
        if wanted:
            # Only many large files are worth a question more to the hub.
            if indexes_of(self.card.files) and not indexes_of(wanted):
                self._make_sure_of_room(wanted)
            fetch_files(self.card, wanted, self.fetching, self)

    def _make_sure_of_room(self, wanted: Sequence[FileSpec]) -> None:
        """Tell how much there is to fetch, and refuse what the disk cannot hold before anything is fetched."""
        sizes = {file.path: size for file in wanted if (size := self.expected(file).size_bytes) is not None}
        unknown = [file for file in wanted if file.path not in sizes]
        if unknown:
            revision = self.revision(wanted[0])
            sizes |= published_sizes(self.card, unknown, revision=revision, access=self.fetching.hub)
        if len(sizes) == len(wanted):
            self.progress.expect([file.path for file in wanted], total_bytes=sum(sizes.values()))
        staging = self.fetching.staging
        there = bytes_there(self.card, wanted, commit=self.ledger.commit or "", staging=staging)
        check_room(self.card.name, sizes, there, models=self.card.folder, staging=staging)

    def _weights(self, index: FileSpec, *, rehash: bool) -> tuple[FileSpec, ...]:
        """An index, which is there now, and the files that it names; or the one file of a repository without it."""
        if not self._has_index(index):
            return (single_file(index),)
        self._bring([index], rehash=rehash)
        return (index, *shards_of(self.card, index))

    def _has_index(self, index: FileSpec) -> bool:
        """Where nobody can be asked, what lies here decides."""
        single = single_file(index)
        if self.ledger.proved(index) is not None:
            return True
        if self.ledger.stated(single) is not None:
            return False
        try:
            wanted = HubFile(self.card.repository, self.revision(index), index.hub_path or index.path)
            check_index_size(file_metadata(wanted, self.fetching.hub).size_bytes or 0)
        except NotOnHub:
            return False
        except SourceUnavailable:
            return not self.card.path_of(single.path).is_file()
        return True

    def _proved(self, files: Mapping[str, FileSpec]) -> Measured:
        """What can be told of the files without running what is not made here. Code is not run at all: its rows are
        independent of one another, and a running Triton tells its canary."""
        if self.card.triton.has_graph:
            return measure(self.card, graph_path(self.card), published=None, on_step=self.progress.step)
        for index in indexes_of(list(files.values())):
            check_shards(self.card, index)
        canary_row(self.card, load_tokenizer(self.card))
        return Measured(canary=(), size=self.card.embedding.dimensions, batch_invariant=True, spread=0.0)

    def _is_right(self, file: FileSpec, *, rehash: bool) -> bool:
        """Whether a file can stay. One that the lock does not know, put there by hand say, is read once."""
        proved = self.ledger.proved(file)
        if not has_size(self.card, file, proved):
            return False
        if proved is not None and not rehash:
            return True
        content = content_of(self.card.path_of(file.path))
        stated = self.expected(file).sha256
        published = None if stated else self._published_sha256(file)
        wanted = stated or published
        # Nothing says what it has to be: it stays where there was no lock, and so nobody but the operator put it there.
        if content.sha256 != wanted and not (wanted is None and self.is_first):
            return False
        if proved is None:
            self.ledger.record(file, content, FOUND if published is None else HUB)
        return True

    def _is_built(self, file: FileSpec, *, rehash: bool) -> bool:
        """Whether a built file can stay: it was made of the very files that are there now."""
        if file.built_by != SERVING:
            return self._is_right(file, rehash=rehash)
        proved = self.ledger.proved(file)
        if proved is None or self.changed or not self.ledger.is_whole or not has_size(self.card, file, proved):
            return False
        return not rehash or content_of(self.card.path_of(file.path)).sha256 == proved.sha256

    def _build(self, file: FileSpec) -> Measured | None:
        """Build a file and put it in place, once it is proved where its hash does not prove it."""
        measured = None
        self.progress.step("building the serving graph" if file.built_by == SERVING else f"building {file.path}")
        with candidate(self.card, file, self.variant) as built:
            if file.built_by == SERVING and self.graph is not None:
                published = self.card.path_of(self.graph.path)
                measured = measure(self.card, built, published=published, on_step=self.progress.step)
            self.ledger.about_to_change(file.path)
            destination, origin = self.card.path_of(file.path), f"the {file.built_by} builder"
            content = place_file(built, destination, Expected(file.path, file.size_bytes, file.sha256), origin=origin)
        self.installed(file, content, "built")
        return measured

    def _data_of(self, graph: FileSpec, path: Path) -> tuple[FileSpec, ...]:
        """The files that the graph, read from `path`, keeps its weights in."""
        try:
            return data_of(self.card, graph, data_files(path))
        except ArtifactError as error:
            label = f"{graph.path} of {self.card.name}"
            raise ArtifactError(f"{label} is refused. {error.message}", remedy=error.remedy) from error

    def _check_published(self, graph: FileSpec) -> None:
        """Whether the hub has a variant that the card does not list; what it does have is told, as far as it says."""
        if graph in self.card.files or self.ledger.proved(graph) is not None or graph.hub_path is None:
            return
        try:
            file_metadata(HubFile(self.card.repository, self.revision(graph), graph.hub_path), self.fetching.hub)
        except NotOnHub as error:
            listing = list_files(self.card.repository, self.revision(graph), self.fetching.hub)
            known = variants_among(graph.hub_path, [file.path for file in listing.files])
            raise ArtifactError(
                f"{self.card.name} is not published as {self.variant}; the model hub has {', '.join(known) or 'none'}.",
                remedy="Name one of those with --variant.",
            ) from error
        except SourceUnavailable:
            return

    def _published_sha256(self, file: FileSpec) -> str | None:
        """What the hub says of a file, or None where it does not say or is away."""
        if file.hub_path is None:
            return None
        try:
            wanted = HubFile(self.card.repository, self.revision(file), file.hub_path)
            return file_metadata(wanted, self.fetching.hub).sha256
        except SourceUnavailable:
            return None

    def _resolved(self, file: FileSpec) -> str:
        """The commit that the card's branch, or the main branch, stands for now."""
        repository, branch = self.card.repository, self.card.revision or DEFAULT_REVISION
        asked = HubFile(repository, branch, file.hub_path or file.path)
        commit = file_metadata(asked, self.fetching.hub).commit
        if not is_commit(commit):
            commit = list_files(repository, branch, self.fetching.hub).revision
        if commit is None or not is_commit(commit):
            raise SourceUnavailable(
                f"The model hub does not say which commit {branch} of {repository} is.",
                remedy="Set revision in card.toml to a commit, 40 hexadecimal digits.",
            )
        return commit
