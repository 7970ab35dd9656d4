"""What programs that everybody knows cannot do without, as it was seen when they ran without it.

Imports alone do not tell: most programs that import a function come along without it, these do not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Needs:
    """``names`` are those of the program; ``calls`` are system calls, ``why`` says what for.

    ``folders`` are such that it writes to, before it serves or at all, where the image has them.
    """

    names: re.Pattern[str]
    calls: tuple[str, ...] = ()
    why: str = ""
    folders: tuple[str, ...] = ()


KNOWN_NEEDS = (
    Needs(
        names=re.compile(r"postgres|postmaster|initdb|pg_ctl"),
        calls=("shmget",),
        why="a System V segment is the lock of its data",
    ),
    Needs(
        names=re.compile(r"gunicorn"),
        calls=("utimensat",),
        why="its workers show by the times of a file that they live, and are ended otherwise",
    ),
    Needs(
        names=re.compile(r"touch"),
        calls=("utimensat",),
        why="it sets the times of files, also of those that it makes",
    ),
    Needs(
        names=re.compile(
            r"shellcheck|pandoc|hadolint|postgrest|graphql-engine|cardano-node|hledger(-web)?|dhall|git-annex"
            r"|ghc(-[\d.]+)?|cabal|stack"
        ),
        calls=("timerfd_create",),
        why="the runtime of Haskell (GHC) has its clock by it, and ends otherwise",
    ),
    Needs(
        names=re.compile(r"dart(vm|aotruntime)?"),
        calls=("timerfd_create",),
        why="Dart's runtime waits by it, and aborts otherwise",
    ),
    Needs(
        names=re.compile(r"nginx"),
        folders=("/var/lib/nginx", "/var/cache/nginx", "/var/log/nginx"),
    ),
)
"""Seen on Gramine 1.9, whose system calls these are that are missing (``tests/integration/compat``)."""


def needs_of(name: str) -> tuple[Needs, ...]:
    """Return what is known of a program."""
    return tuple(needs for needs in KNOWN_NEEDS if needs.names.fullmatch(name))
