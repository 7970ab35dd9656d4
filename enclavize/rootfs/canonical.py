"""The one form in which a path of an archive is known."""

from __future__ import annotations

from enclavize.errors import InvalidImageError
from enclavize.rootfs.entry import NAME_MAX, PATH_MAX
from enclavize.rootfs.names import path_text, printable


def canonical_path(name: bytes, what: str) -> str:
    """Return the canonical form of a member's name, "" for the root. Raises InvalidImageError.

    Engines take ``a/../b`` by its letters, whatever ``a`` is (filepath.Clean of Go).
    """
    parts = [part for part in name.split(b"/") if part not in {b"", b"."}]
    problem = ""
    if b".." in parts:
        parts, climbs = _without_parents(parts)
        problem = "a path that leads out of the image" if climbs else ""
    path = b"/".join(parts)
    if not name:
        problem = "no name"
    elif b"\0" in name:
        problem = "a NUL in its name"
    elif len(path) > PATH_MAX:
        problem = f"a path of more than {PATH_MAX} bytes"
    elif len(path) > NAME_MAX and max(map(len, parts)) > NAME_MAX:
        problem = f"a name of more than {NAME_MAX} bytes"
    if problem:
        raise InvalidImageError(f"{what} has a member with {problem}: {printable(path_text(name))}")
    return path_text(path)


def _without_parents(parts: list[bytes]) -> tuple[list[bytes], bool]:
    """Resolve ``..`` by letters; return whether it leads above the first part, too."""
    found: list[bytes] = []
    climbs = False
    for part in parts:
        if part != b"..":
            found.append(part)
        elif found:
            found.pop()
        else:
            climbs = True
    return found, climbs
