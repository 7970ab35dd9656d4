"""Paths of an image: bytes to the kernel, text to us, and what of them may be shown."""

from __future__ import annotations


def path_bytes(path: str) -> bytes:
    """Return the bytes of a path, whatever the locale."""
    return path.encode("utf-8", "surrogateescape")


def path_text(path: bytes) -> str:
    """Return a path as text; the inverse of :func:`path_bytes`."""
    return path.decode("utf-8", "surrogateescape")


def sort_key(path: str) -> bytes:
    """Order paths by their bytes; the order of surrogates is another one."""
    return path_bytes(path)


def printable(path: str) -> str:
    """Return a path as it may be shown in a message: no control characters, no surrogates."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in path[:512]
    )
