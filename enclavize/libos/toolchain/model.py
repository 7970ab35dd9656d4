"""A toolchain: the files of one version of one LibOS, by paths that do not depend on where they were found.

Gramine, all of it below ``<libdir>/gramine`` but ``host``:

    libsysdb.so                     the LibOS
    direct/libpal.so, direct/loader the PAL for ordinary processes; the loader is a link to it
    sgx/libpal.so                   the enclave's PAL, which is measured
    sgx/loader                      the untrusted loader: an ordinary program that needs ``host``
    runtime/glibc/NAME              the patched C libraries, as far as the installation has them
    runtime/musl/NAME
    host/NAME                       sgx/loader's own interpreter and libraries, by PT_INTERP and DT_NEEDED

Occlum, below ``/opt/occlum`` or another prefix but for the C libraries:

    lib/libocclum-libos.so          the unsigned enclave; lib/libocclum-libos_sim.so for simulation
    lib/libocclum-pal.so            the PAL; lib/libocclum-pal_sim.so for simulation
    bin/occlum-run, bin/occlum_exec_client, bin/occlum_exec_server
    initfs/bin/init                 the program that mounts the root file system
    template/NAME                   Occlum.json and the others of etc/template
    musl/NAME                       the libraries of Occlum's musl toolchain
    glibc/NAME                      Occlum's glibc; libstdc++ and libgcc_s of the distribution
"""

from __future__ import annotations

import hashlib
import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import UsageError
from enclavize.libos.titles import TITLES
from enclavize.oci.document import canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, kw_only=True)
class ToolchainFile:
    """One file; ``path`` is one of those above, ``sha256`` hexadecimal, ``size`` in bytes.

    Where the installation has a link to another of these files, ``link_target`` is relative to the folder of
    ``path``; the other fields are the target's. What ``open`` gives raises IntegrityError, at the latest with
    its last bytes, if the file has changed since it was found.
    """

    path: str
    mode: int
    size: int
    sha256: str
    open: Callable[[], BinaryIO] = field(repr=False, compare=False)
    link_target: str = ""


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """What was found. ``origin`` is for people; ``missing`` are files that the LibOS needs in vain.

    ``searched`` tells, by folder of the paths above, where their files were looked for.
    """

    libos: str
    version: str
    origin: str
    files: Mapping[str, ToolchainFile]
    missing: tuple[str, ...] = ()
    searched: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The LibOS with its version, as messages call it."""
        return f"{TITLES.get(self.libos, self.libos)} {self.version}"

    @property
    def digest(self) -> str:
        """SHA-256 in hexadecimal over everything but where it was found."""
        files = [
            [file.path, file.mode, file.sha256, file.link_target] for _, file in sorted(self.files.items())
        ]
        return hashlib.sha256(canonical_json([self.libos, self.version, files])).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all files; links count nothing."""
        return sum(file.size for file in self.files.values() if not file.link_target)

    def below(self, folder: str) -> tuple[ToolchainFile, ...]:
        """Return the files of one folder, sorted by path."""
        prefix = f"{folder}/"
        return tuple(file for path, file in sorted(self.files.items()) if path.startswith(prefix))

    def require(self, path: str) -> ToolchainFile:
        """Return a file. Raises UsageError, which says where it was looked for and what to do."""
        found = self.files.get(path)
        if found is not None:
            return found
        places = self.searched.get(posixpath.dirname(path), ())
        where = f"; looked for it in {', '.join(places)}" if places else ""
        if path.startswith("host/"):
            hint = "install the library here, or take an image that has it: --toolchain IMAGE"
        else:
            hint = "give --toolchain an install prefix, an image or a kept toolchain that has it"
        raise UsageError(f"the toolchain {self.origin} ({self.title}) has no {path}{where}", hint=hint)
