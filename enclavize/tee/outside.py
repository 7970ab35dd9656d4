"""What the enclave is not bound to: the files that run outside of it, and what its LibOS is known for.

Enclavize's own files are those of this command or of a release; all others come from a toolchain, and are
compared with one, or with digests that an operator pins. A signature of the enclave covers neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from enclavize.errors import IntegrityError
from enclavize.tee import layout
from enclavize.tee.releases import versions_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from enclavize.tee.contents import TeeContents
    from enclavize.tee.host_files import HostFiles
    from enclavize.tee.known_flaws import Flaw


class Outside(StrEnum):
    """What is known about the files that run outside of the enclave."""

    CHECKED = "checked"
    NOT_CHECKED = "NOT checked"
    UNKNOWN = "unknown files"


@dataclass(frozen=True, kw_only=True)
class LibosExpectations:
    """What a verifier accepts of a LibOS.

    ``host_files`` are sets of files, of which one must be the image's, and so are those of ``toolchain``.
    ``known_flaws`` are files that extend the list of flaws; those in ``allowed_flaws`` are put up with.
    """

    toolchain: str | None = None
    host_files: tuple[HostFiles, ...] = ()
    known_flaws: tuple[Path, ...] = ()
    allowed_flaws: frozenset[str] = frozenset()
    allow_integrity_only: bool = False
    allow_simulation: bool = False


@dataclass(frozen=True, kw_only=True)
class LibosFindings:
    """What was found. ``problems`` tell of files that nobody knows, ``integrity_only`` of a weakness."""

    outside: Outside
    problems: tuple[str, ...] = ()
    integrity_only: str = ""
    simulation: bool = False
    flaws: tuple[Flaw, ...] = ()

    def objections(self, wanted: LibosExpectations) -> Iterator[str]:
        """Yield the reasons not to trust an image, but for files that were not checked."""
        yield from self.problems
        if self.integrity_only and not wanted.allow_integrity_only:
            yield self.integrity_only
        if self.simulation and not wanted.allow_simulation:
            yield "it is for simulation alone: it protects nothing"
        for flaw in self.flaws:
            if flaw.id not in wanted.allowed_flaws:
                yield f"its LibOS has the known flaw {flaw}"


def compare_outside(contents: TeeContents, known: Sequence[HostFiles]) -> tuple[Outside, tuple[str, ...]]:
    """Compare the files outside of the enclave, which enclave.json lists and the layers have.

    Returns what is known of them, and which are unknown. Raises IntegrityError if one of ours is missing.
    """
    files = {path: file.sha256 for path, file in contents.description.files.items()}
    problems = tuple(_own_problems(contents, files, known))
    outside, others = compare_host_files(contents, known)
    return Outside.UNKNOWN if problems else outside, (*problems, *others)


def compare_host_files(contents: TeeContents, known: Sequence[HostFiles]) -> tuple[Outside, tuple[str, ...]]:
    """Do the same for files of a toolchain alone: a runtime may bring enclavize's own itself."""
    form = contents.format
    files = {path: file.sha256 for path, file in contents.description.files.items()}
    found = {
        path: digest for path, digest in files.items() if form.is_shared(path) and path not in form.own_files
    }
    pinned = [candidate for candidate in known if candidate.files.keys() - form.own_files.keys()]
    if not found:
        return Outside.CHECKED, ()
    if not pinned:
        return Outside.NOT_CHECKED, ()
    problems = tuple(_host_problems(found, pinned, contents, own=form.own_files))
    return Outside.UNKNOWN if problems else Outside.CHECKED, problems


def _own_problems(
    contents: TeeContents, files: Mapping[str, str], known: Sequence[HostFiles]
) -> Iterator[str]:
    for path, component in contents.format.own_files.items():
        digest = files.get(path)
        if digest is None:
            raise IntegrityError(f"the image has no /{layout.ROOT}/{path}")
        if versions := versions_of(component, digest):
            said = contents.description.generator
            if said not in {f"enclavize/{version}" for version in versions}:
                yield (
                    f"enclave.json says that {said[:40]!r} made the image, but /{layout.ROOT}/{path} is of "
                    f"enclavize {', '.join(versions)}"
                )
            continue
        if any(pinned.files.get(path) == digest for pinned in known):
            continue
        yield (
            f"/{layout.ROOT}/{path}, which runs outside of the enclave, is neither that of this command nor "
            f"of a release that it knows (sha256 {digest})"
        )


def _host_problems(
    found: Mapping[str, str],
    pinned: Sequence[HostFiles],
    contents: TeeContents,
    own: Mapping[str, str],
) -> Iterator[str]:
    """Yield why none of the candidates is what was found; nothing if one is."""
    problems = []
    for candidate in pinned:
        difference = next(candidate.differences(found, without=own.keys()), "")
        said = contents.description.libos_version
        if not difference and candidate.version not in ("", said):
            difference = f"it has version {candidate.version}, enclave.json says {said[:40]!r}"
        if not difference:
            return
        problems.append(f"not those of {candidate.origin}: {difference}")
    yield "the files that run outside of the enclave are " + ", ".join(problems)
