"""The libraries that a dynamic program needs to start, found as its loader would find them.

Sources: System V gABI, "Shared Object Dependencies"; ld.so(8).
"""

from __future__ import annotations

import posixpath
from contextlib import suppress
from typing import TYPE_CHECKING

from enclavize.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from enclavize.libos.toolchain.located import Located
    from enclavize.libos.toolchain.tree import Found, Tree
    from enclavize.rootfs.entry import ElfFacts

EM_X86_64 = 62
"""e_machine."""

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

    ``trees`` are searched in order, the first one also in the folders ``own``. What is not found is missing.
    """
    tree, found = located.files[program]
    facts = tree.elf(found)
    if facts is None or facts.bits != 64:
        return
    located.searched[folder] = [
        *(tree.name + place for place in _run_path(facts, found)),
        *(trees[0].name + place for place in own),
        *(tree.name + place for tree in trees for place in LIBRARY_FOLDERS),
    ]
    if facts.interpreter:
        name = posixpath.basename(facts.interpreter)
        _take(located, f"{folder}/{name}", trees, [facts.interpreter.lstrip("/")])
    pending = [(name, tree, found, facts) for name in facts.needed]
    seen: set[str] = set()
    while pending and len(seen) < MAX_LIBRARIES:
        name, tree, user, facts = pending.pop()
        path = f"{folder}/{posixpath.basename(name)}"
        if path in seen:
            continue
        seen.add(path)
        run_path = [posixpath.join(place, name) for place in _run_path(facts, user)]
        taken = (
            _take(located, path, [tree], run_path, needed=False)
            or _take(located, path, trees[:1], [f"{place}/{name}" for place in own], needed=False)
            or _take(located, path, trees, [f"{place}/{name}" for place in LIBRARY_FOLDERS])
        )
        if taken is not None:
            tree, found = taken
            needs = tree.elf(found)
            if needs is not None:
                pending += [(needed, tree, found, needs) for needed in needs.needed]


def _take(
    located: Located, path: str, trees: Sequence[Tree], places: Sequence[str], *, needed: bool = True
) -> tuple[Tree, Found] | None:
    """Take the first file for x86-64 among ``places``."""
    for tree in trees:
        for place in places:
            with suppress(UsageError):  # one that is no regular file, or outside, is none for the loader
                found = tree.find(place)
                if found is not None and _is_x86_64(tree.elf(found)):
                    located.files[path] = (tree, found)
                    return tree, found
    if needed and path not in located.files:
        located.missing.append(path)
    return None


def _is_x86_64(facts: ElfFacts | None) -> bool:
    return facts is not None and facts.bits == 64 and facts.machine == EM_X86_64


def _run_path(facts: ElfFacts, user: Found) -> Iterator[str]:
    """Yield the folders that the file itself names, as far as they are inside the tree it is in."""
    origin = posixpath.dirname(user.path)
    for folder in (facts.runpath or facts.rpath).split(":"):
        if folder.startswith(("$ORIGIN", "${ORIGIN}")):
            relative = folder.replace("${ORIGIN}", "$ORIGIN").removeprefix("$ORIGIN").lstrip("/")
            yield posixpath.normpath(posixpath.join(origin, relative))
