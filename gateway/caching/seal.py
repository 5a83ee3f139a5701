"""Values that leave this process and come back: whoever holds the store must not be able to give a wrong vector."""

from __future__ import annotations

import hashlib
import hmac

_SEAL_BYTES = 16
_CONTEXT = b"gateway value"


class Seal:
    """Puts a keyed digest of key and value in front of a value, and takes only values that have it."""

    def __init__(self, secret: bytes) -> None:
        self._base = hashlib.blake2b(key=hashlib.blake2b(_CONTEXT + secret).digest(), digest_size=_SEAL_BYTES)

    def close(self, key: bytes, value: bytes) -> bytes:
        return self._digest(key, value) + value

    def open(self, key: bytes, sealed: bytes, *, size: int) -> bytes | None:
        """The value of `size` bytes that was sealed for `key`; None for anything else."""
        if len(sealed) != _SEAL_BYTES + size:
            return None
        value = sealed[_SEAL_BYTES:]
        return value if hmac.compare_digest(sealed[:_SEAL_BYTES], self._digest(key, value)) else None

    def _digest(self, key: bytes, value: bytes) -> bytes:
        digest = self._base.copy()
        digest.update(len(key).to_bytes(8, "little"))
        digest.update(key)
        digest.update(value)
        return digest.digest()
