"""Bytes that come in pieces, as something to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class PieceReader:
    """Reads ``first``, then the pieces, once. Closing it closes an iterator that can be closed."""

    def __init__(self, pieces: Iterator[bytes], first: bytes = b"") -> None:
        self._pieces = pieces
        self._pending = first

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none at the end."""
        while not self._pending:
            following = next(self._pieces, None)
            if following is None:
                return b""
            self._pending = following
        taken, self._pending = self._pending[:size], self._pending[size:]
        return taken

    def close(self) -> None:
        """Take no more."""
        close = getattr(self._pieces, "close", None)
        if close:
            close()
