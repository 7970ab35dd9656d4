"""Gramine's own files in a TEE image: those that any program may need, in one layer that all images share."""

from __future__ import annotations

import io
import posixpath
import re
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import UsageError
from enclavize.libos.gramine import layout
from enclavize.libos.gramine.attestation import LIBRARIES
from enclavize.libos.gramine.loader import interpreter_of, with_interpreter, without_system_files
from enclavize.resources import native_file
from enclavize.tee.instance import InstanceFile
from enclavize.tee.layout import RUNELET
from enclavize.tee.tar import FILE_MODE, PROGRAM_MODE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from enclavize.libos.gramine.program import Libc
    from enclavize.libos.toolchain.model import Toolchain, ToolchainFile

RUNELET_FILE = "runelet-gramine"
"""The runelet with the PAL for Gramine, among the native components."""

GLIBC_FILES = ("ld-linux-x86-64.so.2", "libc.so.6")
"""The loader and the library that say where Gramine's glibc looks for data."""

_UNNEEDED = re.compile(r"ld\.so|libthread_db\.so\.\d+|libmbed\w+_gramine\.so\.\d+", re.ASCII)
"""A second name of the loader, what debuggers need, and libraries of Gramine's attestation examples."""

_GLIBC_VERSION = re.compile(rb"\0GLIBC_2\.(\d{1,3})\0")


def shared_files(toolchain: Toolchain) -> tuple[InstanceFile, ...]:
    """Return the runelet and the files of the toolchain. Raises UsageError for what is missing."""
    runelet = native_file(RUNELET_FILE)
    own = _instance_file(RUNELET, runelet.stat().st_size, lambda: runelet.open("rb"))
    return tuple(sorted((own, *toolchain_files(toolchain)), key=lambda file: file.path))


def toolchain_files(toolchain: Toolchain) -> tuple[InstanceFile, ...]:
    """Return what every image of a toolchain has of it. Raises UsageError for what is missing."""
    return tuple(_toolchain_files(toolchain))


def read(toolchain: Toolchain, path: str) -> bytes:
    """Return the content of a file; ``path`` is that in an image. Raises UsageError, IntegrityError."""
    with toolchain.require(path.removeprefix(f"{layout.GRAMINE}/")).open() as stream:
        return stream.read()


def runtime_files(toolchain: Toolchain, libc: Libc, attestation: Collection[str] = ()) -> dict[str, str]:
    """Return the files of Gramine's C library: SHA-256 by absolute path in the container.

    ``attestation`` are those of the libraries for attestation that are wanted, too. Raises UsageError for one
    that the toolchain does not have.
    """
    files = {posixpath.basename(file.path): file for file in toolchain.below(f"runtime/{libc}")}
    for name in attestation:
        if name not in files:
            raise UsageError(
                f"the toolchain {toolchain.origin} has no {name} for {libc}",
                hint="build Gramine with -Ddcap=enabled, or take its packages",
            )
    return {
        layout.absolute(f"{layout.GRAMINE}/{file.path}"): file.sha256
        for name, file in files.items()
        if not _UNNEEDED.fullmatch(name) and (name in attestation or name not in LIBRARIES)
    }


def glibc_version(toolchain: Toolchain) -> tuple[int, int]:
    """Return the newest version that Gramine's glibc defines; (0, 0) if the toolchain has none."""
    path = f"{layout.RUNTIME}/glibc/libc.so.6"
    if path.removeprefix(f"{layout.GRAMINE}/") not in toolchain.files:
        return (0, 0)
    minors = [int(minor) for minor in _GLIBC_VERSION.findall(read(toolchain, path).replace(b"\0", b"\0\0"))]
    return (2, max(minors)) if minors else (0, 0)


def _toolchain_files(toolchain: Toolchain) -> Iterator[InstanceFile]:
    for path in (layout.LIBOS, layout.DIRECT_LIBPAL, layout.DIRECT_LOADER, layout.SGX_LIBPAL):
        yield _file(toolchain.require(path.removeprefix(f"{layout.GRAMINE}/")))
    program = read(toolchain, layout.SGX_LOADER)
    interpreter = f"{layout.HOST}/{posixpath.basename(interpreter_of(program))}"
    # Both are made independent of the image's files.
    yield _changed(interpreter, without_system_files(read(toolchain, interpreter)))
    yield _changed(
        layout.SGX_LOADER,
        with_interpreter(program, layout.absolute(interpreter), layout.absolute(layout.HOST)),
    )
    for folder in ("runtime/glibc", "runtime/musl", "host"):
        for file in toolchain.below(folder):
            path = f"{layout.GRAMINE}/{file.path}"
            if path != interpreter and not _UNNEEDED.fullmatch(posixpath.basename(path)):
                yield _file(file)


def _changed(path: str, content: bytes) -> InstanceFile:
    return _instance_file(path, len(content), lambda: io.BytesIO(content))


def _file(file: ToolchainFile) -> InstanceFile:
    return _instance_file(f"{layout.GRAMINE}/{file.path}", file.size, file.open)


def _instance_file(path: str, size: int, opener: Callable[[], BinaryIO]) -> InstanceFile:
    mode = PROGRAM_MODE if layout.is_program(path) else FILE_MODE
    return InstanceFile(path=path, mode=mode, size=size, open=opener)
