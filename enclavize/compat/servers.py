"""What programs that everybody knows cannot do without, as it was seen when they ran without it.

Imports alone do not tell: most programs that import a function come along without it, these do not.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from enclavize.compat.nginx import written_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from enclavize.compat.profile import SyscallSupport
    from enclavize.compat.stages import Stage
    from enclavize.compat.subject import Subject


class Loss(StrEnum):
    """What a program without its system calls does not do, as a message says it of the program."""

    ALL = "does not work"
    PART = "does not all its work"
    NONE = "works, but says so in its log,"


@dataclass(frozen=True, kw_only=True)
class Needs:
    """``names`` are those of the program; ``calls`` are system calls, ``why`` says what for.

    ``options`` are those of setsockopt and getsockopt, ``families`` those of socket; ``loss`` is what becomes
    of it without all of them.

    ``writes`` tells, of an image and what is started, the folders that it writes to before it serves.
    ``keeps`` is the folder that it makes for what it keeps: variables and what stands behind their values,
    of which the first one that is set counts. ``always``: it ends without that folder, whatever it is to do;
    others end at some of their commands.
    """

    names: re.Pattern[str]
    calls: tuple[str, ...] = ()
    why: str = ""
    options: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    loss: Loss = Loss.ALL
    writes: Callable[[Subject, Stage], tuple[str, ...]] | None = None
    keeps: tuple[tuple[str, str], ...] = ()
    always: bool = False

    def missing(self, calls: SyscallSupport) -> list[str]:
        """Return what of it a LibOS does not serve."""
        return [
            *(name for name in self.calls if not calls.serves(name)),
            *(name for name in self.options if name in calls.absent_options),
            *(name for name in self.families if name in calls.absent_families),
        ]

    def kept_in(self, environment: Mapping[str, str]) -> str:
        """Return the absolute path of the folder that it makes, or ""."""
        found = (
            posixpath.join(value, *filter(None, [below]))
            for name, below in self.keeps
            if (value := environment.get(name, ""))
        )
        path = next(found, "")
        return path if path.startswith("/") else ""


def _written_by_nginx(subject: Subject, stage: Stage) -> tuple[str, ...]:
    return written_paths(subject.rootfs, subject.nginx(stage.arguments))


def _in_cache(name: str) -> tuple[tuple[str, str], ...]:
    """Return where a cache is by the XDG Base Directory Specification."""
    return ("XDG_CACHE_HOME", name), ("HOME", f".cache/{name}")


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
        names=re.compile(r"ruby[\d.]*"),
        calls=("getresuid",),
        why="it asks for its users before it starts a program (`...`, system, spawn), which raises ENOSYS",
        loss=Loss.PART,
    ),
    Needs(
        names=re.compile(r"ruby[\d.]*"),
        calls=("timer_create",),
        why="signals that come at a bad moment wait for the next one",
        loss=Loss.NONE,
    ),
    Needs(
        names=re.compile(r"ipcmk"),
        calls=("shmget",),
        why="it makes objects of System V",
    ),
    Needs(
        names=re.compile(r"numactl"),
        calls=("get_mempolicy",),
        why="it asks for the policy of memory first; entrypoints that try it before they take it do without",
    ),
    Needs(
        names=re.compile(r"php-fpm[\d.]*"),
        options=("TCP_INFO",),
        why="its status page does not know how many connections wait",
        loss=Loss.NONE,
    ),
    Needs(
        names=re.compile(r"apache2|httpd"),
        options=("TCP_DEFER_ACCEPT",),
        why="its workers take connections before something was asked",
        loss=Loss.NONE,
    ),
    Needs(
        names=re.compile(r"dnsmasq"),
        families=("AF_NETLINK",),
        why="it asks the kernel for the network's interfaces, and ends otherwise",
    ),
    Needs(
        names=re.compile(r"etcd"),
        calls=("flock",),
        why="it locks its database, and ends otherwise",
    ),
    Needs(names=re.compile(r"nginx"), writes=_written_by_nginx),
    Needs(
        names=re.compile(r"dprint"),
        keeps=(("DPRINT_CACHE_DIR", ""), *_in_cache("dprint")),
        always=True,
    ),
    Needs(names=re.compile(r"buf"), keeps=(("BUF_CACHE_DIR", ""), *_in_cache("buf"))),
    Needs(names=re.compile(r"go"), keeps=(("GOCACHE", ""), *_in_cache("go-build"))),
    Needs(names=re.compile(r"gpg2?"), keeps=(("GNUPGHOME", ""), ("HOME", ".gnupg"))),
)
"""Seen on Gramine 1.9, whose system calls these are that are missing (``tests/integration/compat``);
``keeps`` where nothing below HOME could be written.
"""


def needs_of(name: str) -> tuple[Needs, ...]:
    """Return what is known of a program."""
    return tuple(needs for needs in KNOWN_NEEDS if needs.names.fullmatch(name))
