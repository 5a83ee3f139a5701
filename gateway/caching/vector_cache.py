"""Vectors kept by what they were made of, for one model: off unless an operator asks for it.

A key is a keyed digest of the model's files and settings, the caller and the row, so nothing of a text can be read from
it, no tenant sees another's, and a model that changes in any way starts anew.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np

from gateway.batching.call import RowValue
from gateway.caching.stores import Stores
from gateway.cards.installation import Installation
from gateway.cards.schema import Card

# Changes when what is kept is made in another way.
_FORMAT = b"gateway vectors 1"
_TENANT_BYTES = 8
_KEY_BYTES = 32


class VectorCache:
    """One model's vectors in the stores that all models share. A value is float32 [size], uncut."""

    def __init__(
        self,
        stores: Stores,
        *,
        identity: bytes,
        size: int,
        precision_of: Callable[[], str] = lambda: "",
        proved_since: Callable[[], int | None] = lambda: 0,
    ) -> None:
        """`identity` stands for everything that a row's vector depends on beside the row, but for `precision_of` the
        model, which shows while it serves. `proved_since` tells one stretch in which the model is proved to be the one
        of `identity` from another; None while it is not proved."""
        self._proved_since = proved_since
        self._precision_of = precision_of
        self._stores = stores
        self._size_bytes = 4 * size
        self._base = hashlib.blake2b(_FORMAT + identity, key=stores.key_secret, digest_size=_KEY_BYTES)
        self._tenants = hashlib.blake2b(key=stores.key_secret, digest_size=_TENANT_BYTES)

    def keys(self, caller: str, rows: Sequence[bytes]) -> list[bytes]:
        """A key for each row, given what tells it from others of this model; it begins with the caller's own prefix."""
        tenant = self._tenants.copy()
        tenant.update(caller.encode())
        prefix = tenant.hexdigest().encode() + b":"
        base = self._base.copy()
        base.update(self._precision_of().encode() + b":" + prefix)
        keys = []
        for row in rows:
            digest = base.copy()
            digest.update(row)
            keys.append(prefix + digest.hexdigest().encode())
        return keys

    def standing(self) -> tuple[str, int] | None:
        """What has to be the same from before a row's key is made until its vector is put; None while nothing that the
        model gives may be kept."""
        stretch = self._proved_since()
        return None if stretch is None else (self._precision_of(), stretch)

    async def get(self, keys: Sequence[bytes]) -> list[RowValue | None]:
        """The vectors that are kept, read-only, None for those that are not. Never fails."""
        found = await self._stores.get(keys, size=self._size_bytes)
        return [None if data is None else np.frombuffer(data, dtype="<f4") for data in found]

    def put(self, keys: Sequence[bytes], values: Sequence[RowValue]) -> None:
        """Keeps copies; a value is a view into its whole call's."""
        self._stores.put({key: value.astype("<f4").tobytes() for key, value in zip(keys, values, strict=True)})


def identity_of(card: Card, installation: Installation, *, dtype: str | None = None) -> bytes:
    """What a model's vectors depend on: its files by their hashes, and how they are called and read; for one of the
    Python backend `dtype` too, which it was told to compute in. Where no lock says which files serve, nothing is ever
    found again."""
    files = {path: file.sha256 for path, file in installation.files.items()}
    read = {"embedding": asdict(card.vectors) if card.vectors else None, "triton": repr(card.triton)}
    document = {
        "model": card.name,
        "files": files or secrets.token_hex(),
        "variant": installation.variant,
        **read,
    }
    if not card.triton.has_graph:
        document["dtype"] = dtype
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=repr).encode()).digest()
