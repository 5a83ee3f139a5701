"""How much memory images under way take together: what a request takes is counted before it is taken, and given back
when the request is done with its images."""

from __future__ import annotations

from types import TracebackType

from gateway.errors import InvalidImage, Overloaded


class ImageMemory:
    """The account of all requests."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._taken_bytes = 0

    @property
    def taken_bytes(self) -> int:
        return self._taken_bytes

    def share(self) -> MemoryShare:
        """One request's part of it, a context manager that gives back what it holds."""
        return MemoryShare(self)

    def take(self, count: int, *, held: int) -> None:
        """Raises `Overloaded`, or `InvalidImage` where the request, which has `held` bytes, would not fit alone."""
        if held + count > self._max_bytes:
            raise InvalidImage(
                f"The request's images take more than the {self._max_bytes} bytes of memory that images may take here. "
                "Send fewer in one request.",
                param="input",
            )
        if self._taken_bytes + count > self._max_bytes:
            raise Overloaded("Images of other requests take all the memory for images. Please try again shortly.")
        self._taken_bytes += count

    def give_back(self, count: int) -> None:
        self._taken_bytes -= count


class MemoryShare:
    __slots__ = ("_held", "_memory")

    def __init__(self, memory: ImageMemory) -> None:
        self._memory = memory
        self._held = 0

    def take(self, count: int) -> None:
        """Raises `Overloaded` or `InvalidImage`."""
        self._memory.take(count, held=self._held)
        self._held += count

    def give_back(self, count: int) -> None:
        self._memory.give_back(count)
        self._held -= count

    def __enter__(self) -> MemoryShare:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.give_back(self._held)
