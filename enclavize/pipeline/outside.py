"""What a TEE image's enclave is not bound to: its LibOS, and the files that run outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.libos.host_files import host_files_by_mode
from enclavize.libos.titles import TITLES
from enclavize.libos.toolchain import open_toolchain
from enclavize.tee.known_flaws import UNKNOWN_RELEASE, known_flaws
from enclavize.tee.outside import LibosFindings, compare_outside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enclavize.oci.cache import BlobCache
    from enclavize.progress import Reporter
    from enclavize.tee.contents import TeeContents
    from enclavize.tee.host_files import HostFiles
    from enclavize.tee.outside import LibosExpectations


def known_files(
    libos: str, wanted: LibosExpectations, cache: BlobCache, *, insecure: bool, reporter: Reporter
) -> tuple[HostFiles, ...]:
    """Return what the files outside of the enclave may be. Raises UsageError for a wrong toolchain."""
    if wanted.toolchain is None:
        return wanted.host_files
    if libos not in TITLES:
        raise UsageError(f"--toolchain: the LibOS of the image, {libos}, takes none", hint="leave it out")
    toolchain = open_toolchain(
        wanted.toolchain, libos=libos, cache=cache, insecure=insecure, reporter=reporter
    )
    return (*host_files_by_mode(toolchain), *wanted.host_files)


def libos_findings(
    contents: TeeContents, known: Sequence[HostFiles], wanted: LibosExpectations
) -> LibosFindings:
    """Look at what the enclave is not bound to. Raises EnclavizeError."""
    outside, problems = compare_outside(contents, known)
    version = contents.format.libos_version(contents)
    flaws = (
        (UNKNOWN_RELEASE,)
        if version is None
        else known_flaws(contents.description.libos, version, wanted.known_flaws)
    )
    return LibosFindings(
        outside=outside,
        problems=problems,
        integrity_only=contents.format.integrity_only(contents),
        simulation=contents.description.simulation,
        flaws=flaws,
    )
