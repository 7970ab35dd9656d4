"""Programs that want addresses which no enclave has: its range ends far below what a process has natively.

As it was seen when they ran without them (docs/libos.md, "What does not run"), and in their sources: MariaDB,
storage/innobase/buf/buf0buf.cc, ``buf_pool_t::create``; LLVM, compiler-rt/lib/asan/asan_mapping.h.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.compat.report import Severity
from enclavize.compat.wording import error_about, finding_about

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.compat.report import Finding
    from enclavize.compat.stages import Stage

_CODE = "OCC055"
_SANITIZERS = re.compile(r"lib[at]san\.so\.\d+")


@dataclass(frozen=True, kw_only=True)
class _Wish:
    """``names`` are those of the executable; an argument that matches ``unless`` takes the wish away."""

    names: re.Pattern[str]
    what: str
    remedy: str
    unless: re.Pattern[str] | None = None


_WISHES = (
    _Wish(
        names=re.compile(r"mariadbd"),
        what="reserves 8 TiB of addresses for its buffer pool, if it is not told another largest size (so "
        "does 10.11.19; older releases did not), and ends without them",
        remedy="--innodb-buffer-pool-size-max=1G, or innodb_buffer_pool_size_max in its configuration",
        unless=re.compile(r"--(?:loose[-_])?innodb[-_]buffer[-_]pool[-_]size[-_]max=.*", re.DOTALL),
    ),
    _Wish(
        names=re.compile(r"valgrind(?:\.bin)?"),
        what="puts itself at addresses that no enclave has, and so starts no program",
        remedy="run it outside of the enclave",
    ),
    _Wish(
        names=re.compile(r"clisp|lisp\.run"),
        what="has its heap at 16 TiB",
        remedy="another Lisp: SBCL runs",
    ),
)


def address_findings(stage: Stage) -> Iterator[Finding]:
    """Tell of known programs, and of those that sanitizers watch, whose shadow memory lies above 64 GiB."""
    executable = stage.program.executable
    if executable is None:
        return
    name = posixpath.basename(executable.path)
    for wish in _WISHES:
        told = wish.unless is not None and any(map(wish.unless.fullmatch, stage.arguments))
        if wish.names.fullmatch(name) and not told:
            yield finding_about(_CODE, Severity.WARNING, executable, wish.what, wish.remedy)
    if any(_SANITIZERS.fullmatch(posixpath.basename(library.path)) for library in stage.program.libraries):
        yield error_about(
            _CODE,
            executable,
            "is watched by a sanitizer, whose shadow memory lies at addresses that no enclave has",
            "build it without -fsanitize=address and -fsanitize=thread",
        )
