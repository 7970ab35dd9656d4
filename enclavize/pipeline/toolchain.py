"""Toolchains for builds and checks, and for people who look at them or keep them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enclavize import __version__
from enclavize.errors import UsageError
from enclavize.libos.host_files import host_files_of, installed_files
from enclavize.libos.titles import TITLES
from enclavize.libos.toolchain import kept, open_toolchain
from enclavize.libos.toolchain.open import MACHINE, locate_in
from enclavize.libos.toolchain_profile import profile_of
from enclavize.oci.cache import BlobCache
from enclavize.pipeline.options import AUTO

if TYPE_CHECKING:
    from collections.abc import Iterable

    from enclavize.compat.profile import Profile
    from enclavize.libos.toolchain import Toolchain
    from enclavize.pipeline.options import BuildOptions
    from enclavize.progress import Reporter


def toolchain_of(options: BuildOptions, cache: BlobCache, reporter: Reporter) -> Toolchain | None:
    """Return the toolchain that ``--toolchain`` names, or else one that is installed here.

    None for a LibOS that brings its own files. Raises UsageError if there is none, or a wrong one.
    """
    libos, text = options.libos, options.toolchain
    if text is not None:
        wanted = None if libos == AUTO else libos
        return open_toolchain(text, libos=wanted, cache=cache, insecure=options.insecure, reporter=reporter)
    return installed_toolchain(libos, reporter) if libos in TITLES else None


def installed_toolchain(libos: str, reporter: Reporter) -> Toolchain:
    """Return the LibOS that is installed here. Raises UsageError if there is none."""
    installed, places = locate_in(MACHINE, libos, reporter)
    if installed is None:
        raise UsageError(
            f"--libos {libos} needs an installation of {TITLES[libos]}, and this machine has none; "
            f"looked for {', '.join(places)}",
            hint="add --toolchain with an install prefix, an image that has one, or a kept toolchain",
        )
    return installed


def toolchain_profile(
    text: str, libos: str | None, extra: Iterable[Profile], *, insecure: bool, reporter: Reporter
) -> Profile:
    """Return the profile for the version that a toolchain holds. Raises UsageError."""
    name, at, version = (libos or "").partition("@")
    toolchain = open_toolchain(
        text, libos=name or None, cache=BlobCache(), insecure=insecure, reporter=reporter
    )
    if at and version != toolchain.version:
        raise UsageError(f"the toolchain {toolchain.origin} holds {toolchain.title}, not {libos}")
    return profile_of(toolchain, extra)


def inspect_toolchain(text: str, libos: str | None, *, insecure: bool, reporter: Reporter) -> dict[str, Any]:
    """Return what a toolchain holds, as a JSON value. Raises EnclavizeError."""
    toolchain = open_toolchain(text, libos=libos, cache=BlobCache(), insecure=insecure, reporter=reporter)
    return facts_of(toolchain)


def host_file_digests(text: str | None, libos: str | None, *, insecure: bool, reporter: Reporter) -> str:
    """Return a file for ``--host-files``. Raises EnclavizeError.

    Without ``text``, what is installed here; the builtin LibOS needs no toolchain.
    """
    if libos == AUTO or (text is None and libos is None):
        raise UsageError("nobody said which LibOS", hint="add --libos builtin, gramine or occlum")
    if libos == "builtin":
        if text is not None:
            raise UsageError("the builtin LibOS takes no toolchain", hint="leave it out")
        return installed_files().to_text(f"enclavize toolchain digests: builtin {__version__}")
    toolchain = (
        installed_toolchain(libos, reporter)
        if text is None and libos is not None
        else open_toolchain(text or "", libos=libos, cache=BlobCache(), insecure=insecure, reporter=reporter)
    )
    return host_files_of(toolchain).to_text(f"enclavize toolchain digests: {toolchain.title}")


def import_toolchain(
    text: str, name: str, libos: str | None, *, insecure: bool, reporter: Reporter
) -> Toolchain:
    """Keep a toolchain. Raises EnclavizeError."""
    kept.check_name(name)
    toolchain = open_toolchain(text, libos=libos, cache=BlobCache(), insecure=insecure, reporter=reporter)
    with reporter.task(f"keep {name}", total=toolchain.size) as task:
        kept.keep(toolchain, name, task)
    return toolchain


def kept_toolchains() -> list[dict[str, Any]]:
    """Return what is kept, by name. Raises EnclavizeError if some of it is damaged."""
    found = []
    for name in kept.names():
        toolchain = kept.find(name)
        if toolchain is not None:
            found.append({"name": name, **_summary(toolchain)})
    return found


def facts_of(toolchain: Toolchain) -> dict[str, Any]:
    """Return a toolchain as a JSON value."""
    return {
        **_summary(toolchain),
        "missing": list(toolchain.missing),
        "files": [
            {
                "path": file.path,
                "mode": f"{file.mode:04o}",
                "size": file.size,
                "digest": f"sha256:{file.sha256}",
                **({"link": file.link_target} if file.link_target else {}),
            }
            for _, file in sorted(toolchain.files.items())
        ],
    }


def _summary(toolchain: Toolchain) -> dict[str, Any]:
    return {
        "libos": toolchain.libos,
        "version": toolchain.version,
        "origin": toolchain.origin,
        "digest": f"sha256:{toolchain.digest}",
        "size": toolchain.size,
    }
