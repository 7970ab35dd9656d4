"""Where toolchains are looked for: the root of an image, or folders of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

from enclavize.errors import UsageError
from enclavize.rootfs.names import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from enclavize.progress import Reporter
    from enclavize.rootfs.entry import ElfFacts

FILE = "application/octet-stream"
"""Media type of files that are stored by their digest."""

MAX_FILE_SIZE = 1 << 29
"""Bytes. The largest known file is Occlum's LibOS with its debug information, about 100 MB."""

MAX_NAMES = 1 << 16
"""Names in one folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A regular file. ``path`` is relative to the tree, with every link followed; ``size`` in bytes."""

    path: str
    mode: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a file holds: SHA-256 in hexadecimal, and a way to read it, verified."""

    sha256: str
    open: Callable[[], BinaryIO]


class Tree(Protocol):
    """Files by path. No link leads out of the tree, and nothing but regular files and folders is found."""

    @property
    def name(self) -> str:
        """What messages call it: a prefix for paths."""
        ...

    def find(self, path: str) -> Found | None:
        """Return the file at ``path``, None if nothing is there. Raises UsageError for what is no file."""
        ...

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names in a folder, sorted, but for those that no LibOS has; nothing if it is none."""
        ...

    def elf(self, found: Found) -> ElfFacts | None:
        """Return what the headers of an ELF file say; None for other files."""
        ...

    def contents(self, files: Collection[Found], reporter: Reporter) -> Mapping[str, Content]:
        """Read files; return their content by path."""
        ...


def checked_size(tree_name: str, path: str, size: int) -> int:
    """Return ``size``. Raises UsageError for more than a file of a LibOS can have."""
    if size > MAX_FILE_SIZE:
        raise UsageError(
            f"{tree_name}{printable(path)} has {size} bytes; no file of a LibOS has more than {MAX_FILE_SIZE}"
        )
    return size
