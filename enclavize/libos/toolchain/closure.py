"""The libraries that a dynamic program needs to start, found as its loader would find them.

Sources: System V gABI, "Shared Object Dependencies"; ld.so(8).
"""

from __future__ import annotations

import posixpath
from contextlib import suppress
from typing import TYPE_CHECKING, TypeGuard

from enclavize.errors import UsageError
from enclavize.rootfs.names import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from enclavize.libos.toolchain.located import Located
    from enclavize.libos.toolchain.tree import Found, Tree
    from enclavize.rootfs.entry import ElfFacts

MAX_LIBRARIES = 256

LIBRARY_FOLDERS = (
    "usr/local/lib/x86_64-linux-gnu", "usr/local/lib64", "usr/local/lib",
    "lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib64", "lib", "usr/lib",
)  # fmt: skip
"""Where Debian's, Fedora's and Alpine's loaders look, relative to the root."""


def add_closure(
    located: Located, folder: str, program: str, trees: Sequence[Tree], own: Sequence[str]
) -> None:
    """Add the interpreter and all libraries of the file ``program`` as ``folder/NAME``.

    ``trees`` are searched in order, the first one also in the folders ``own``; the last one is a root, to
    which absolute paths belong. What is not found is missing.
    """
    tree, found = located.files[program]
    facts = tree.elf(found)
    if not _is_x86_64(facts):
        return
    common = [
        *((trees[0], place) for place in own),
        *((tree, place) for tree in trees for place in LIBRARY_FOLDERS),
    ]
    places = [*_run_path(facts, tree, found, trees[-1]), *common]
    located.searched[folder] = [printable(tree.name + place) for tree, place in places]
    if facts.interpreter:
        place, _, name = facts.interpreter.rpartition("/")
        _take(located, folder, name, [(tree, place.lstrip("/")) for tree in trees])
    pending = [(name, places) for name in facts.needed]
    seen: set[str] = set()
    while pending and len(seen) < MAX_LIBRARIES:
        name, places = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        if (taken := _take(located, folder, name, places)) is not None:
            tree, found, needs = taken
            places = [*_run_path(needs, tree, found, trees[-1]), *common]
            pending += [(needed, places) for needed in needs.needed]


def _take(
    located: Located, folder: str, name: str, places: Sequence[tuple[Tree, str]]
) -> tuple[Tree, Found, ElfFacts] | None:
    """Take the first file of that name for x86-64."""
    path = f"{folder}/{printable(posixpath.basename(name))}"
    for tree, place in places:
        with suppress(UsageError):  # one that is no regular file, or outside, is none for the loader
            found = tree.find(posixpath.join(place, name))
            facts = tree.elf(found) if found is not None else None
            if found is not None and _is_x86_64(facts):
                located.files[path] = (tree, found)
                return tree, found, facts
    located.missing.append(path)
    return None


def _is_x86_64(facts: ElfFacts | None) -> TypeGuard[ElfFacts]:
    return facts is not None and facts.is_x86_64


def _run_path(facts: ElfFacts, tree: Tree, user: Found, root: Tree) -> Iterator[tuple[Tree, str]]:
    """Yield the folders that a file names itself."""
    origin = posixpath.dirname(user.path)
    for folder in (facts.runpath or facts.rpath).split(":"):
        relative = folder.replace("${ORIGIN}", "$ORIGIN")
        if relative.startswith("$ORIGIN"):
            relative = relative.removeprefix("$ORIGIN").lstrip("/")
            yield tree, posixpath.normpath(posixpath.join(origin, relative))
        elif folder.startswith("/"):
            yield root, posixpath.normpath(folder).lstrip("/")
