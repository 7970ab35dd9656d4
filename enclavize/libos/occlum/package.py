"""``occlum package``: one archive with what runs an instance elsewhere, the same for the same build.

It holds what Occlum's own command takes: Occlum.json, programs, the signed enclave, PAL, both images, the
protected configuration, and the plain init file system, from which no secret must be expected.
"""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import SigningRefusedError, UsageError
from enclavize.libos.occlum import layout
from enclavize.libos.occlum.build import SgxMode
from enclavize.libos.occlum.configuration import load_document
from enclavize.oci.storage import atomic_file, storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIX = ".tar.gz"

_ALWAYS = (
    "Occlum.json", ".__occlum_status", ".sgx_mode", "initfs", "run", "build/bin", "build/initfs",
    "build/mount", "build/.Occlum_sys.json.protected", "build/lib/libocclum-libos.signed.so",
)  # fmt: skip
_BEFORE_0_29_6 = "build/Occlum.json.protected"
_COMPRESSION = 6


def package(folder: Path, name: str, *, debug: bool) -> Path:
    """Write the package of an instance into its folder; return where. Raises EnclavizeError.

    Without ``debug`` only what protects anything is packed: no simulation, and nothing debuggable.
    """
    stem = name.removesuffix(SUFFIX)
    if not stem or "/" in stem or stem in {".", ".."}:
        raise UsageError(f"{name!r} is no name of a package")
    _check(folder, debug=debug)
    output = folder / f"{stem}{SUFFIX}"
    with atomic_file(output) as stream:
        _write(stream, folder, stem)
    return output


def _check(folder: Path, *, debug: bool) -> None:
    if not (folder / layout.BUILD / layout.SIGNED_ENCLAVE).is_file():
        raise UsageError(f"{folder} is no instance that was built", hint="run: enclavize occlum build")
    with storage_errors("read", folder):
        mode = (folder / layout.SGX_MODE).read_text().strip()
    if debug:
        return
    if mode != SgxMode.HARDWARE:
        raise SigningRefusedError(
            f"the instance is for {mode[:20]!r}, not for SGX",
            hint="build it with --sgx-mode HW, or add --debug",
        )
    metadata = load_document(folder / layout.CONFIGURATION).get("metadata")
    if not isinstance(metadata, dict) or metadata.get("debuggable") is not False or _is_debug(folder):
        raise SigningRefusedError(
            "the instance is debuggable: its host can read the enclave",
            hint="set metadata.debuggable to false in Occlum.json and build again, or add --debug",
        )


def _is_debug(folder: Path) -> bool:
    """Whether the enclave may be launched for debugging, whatever Occlum.json says by now."""
    from enclavize.sgx.enclave_file import read_signed

    return read_signed(folder / layout.BUILD / layout.SIGNED_ENCLAVE).sigstruct.measurement.debuggable


def _write(stream: BinaryIO, folder: Path, stem: str) -> None:
    compressed = gzip.GzipFile(filename="", mode="wb", compresslevel=_COMPRESSION, fileobj=stream, mtime=0)
    with (
        compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for path in _members(folder):
            _add(archive, folder / path, f"{stem}/{path}")


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    status = path.lstat()
    member = tarfile.TarInfo(name)
    member.mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        member.type, member.linkname, member.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
        archive.addfile(member)
    elif stat.S_ISDIR(status.st_mode):
        member.type = tarfile.DIRTYPE
        archive.addfile(member)
    elif stat.S_ISREG(status.st_mode):
        with path.open("rb") as content:
            member.size = os.fstat(content.fileno()).st_size
            archive.addfile(member, content)
    else:
        raise UsageError(f"{path} is neither a file nor a folder nor a link")


def _members(folder: Path) -> Iterator[str]:
    """Yield what belongs to the package, sorted, by paths relative to ``folder``."""
    wanted = [folder / path for path in _ALWAYS]
    wanted += sorted((folder / layout.BUILD).glob("lib/libocclum-pal*"))
    if (old := folder / _BEFORE_0_29_6).is_file():
        wanted.append(old)
    found: list[str] = []
    for path in wanted:
        if not path.exists():
            raise UsageError(f"the instance has no {path.relative_to(folder)}", hint="build it again")
        found.append(str(path.relative_to(folder)))
        if path.is_dir() and not path.is_symlink():
            found += (str(inner.relative_to(folder)) for inner in path.rglob("*"))
    yield from sorted(found, key=os.fsencode)
