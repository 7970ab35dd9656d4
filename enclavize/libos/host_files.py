"""The files that a LibOS has outside of the enclave, as this machine's releases of it bring them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from enclavize.oci.stream import chunks
from enclavize.tee.host_files import HostFiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.libos.toolchain.model import Toolchain
    from enclavize.tee.instance import InstanceFile


def host_files_of(toolchain: Toolchain) -> HostFiles:
    """Make the files again that a build takes of a toolchain. Raises UsageError for what is missing."""
    return host_files_by_mode(toolchain)[0]


def host_files_by_mode(toolchain: Toolchain) -> tuple[HostFiles, ...]:
    """Do the same for hardware and, where the toolchain has files of its own for it, for simulation."""
    return tuple(_host_files(toolchain, files) for files in _shared_files(toolchain))


def _host_files(toolchain: Toolchain, shared: tuple[InstanceFile, ...]) -> HostFiles:
    files = {}
    for file in shared:
        digest = hashlib.sha256()
        with file.open() as stream:
            for data in chunks(stream):
                digest.update(data)
        files[file.path] = digest.hexdigest()
    return HostFiles(origin=f"the toolchain {toolchain.origin}", files=files, version=toolchain.version)


def installed_files() -> HostFiles:
    """Return what the builtin LibOS has outside of the enclave: the runelet of this command."""
    from enclavize.libos.builtin.format import BuiltinFormat
    from enclavize.resources import native_file

    files = {
        path: hashlib.sha256(native_file(component).read_bytes()).hexdigest()
        for path, component in BuiltinFormat().own_files.items()
    }
    return HostFiles(origin="this installation", files=files)


def _shared_files(toolchain: Toolchain) -> Iterator[tuple[InstanceFile, ...]]:
    if toolchain.libos == "gramine":
        from enclavize.libos.gramine.files import toolchain_files as gramine_files

        yield gramine_files(toolchain)
        return
    from enclavize.libos.occlum.build import SgxMode
    from enclavize.libos.occlum.files import toolchain_files as occlum_files

    yield occlum_files(toolchain)
    if f"lib/libocclum-pal{SgxMode.SIMULATION.suffix}.so" in toolchain.files:
        yield occlum_files(toolchain, SgxMode.SIMULATION)
