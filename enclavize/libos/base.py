"""What LibOS backends share: the instance they make, the policy and resources they are given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from enclavize.oci.image import Image
    from enclavize.progress import Reporter
    from enclavize.rootfs.tree import Rootfs
    from enclavize.sgx.enclave_file.config import EnclaveConfig

MIN_MEMORY = 1 << 20
MAX_MEMORY = 56 << 30
"""Bytes of dynamic memory that a program may commit; its part of ELRANGE has 56 GiB."""

MAX_THREADS = 4096


@dataclass(frozen=True, kw_only=True)
class AllowedVariable:
    """A variable that the host may set; ``unsafe`` if its name can make a program run other code."""

    name: str
    unsafe: bool = False


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A path below which files are the host's: unprotected, and executable only if this says so."""

    path: str
    read_only: bool = False
    executable: bool = False


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What the host may influence. Everything is refused unless it stands here; the policy is measured."""

    allow_arguments: bool = False
    allowed_environment: tuple[AllowedVariable, ...] = ()
    allow_any_exec: bool = False
    allowed_exec: tuple[tuple[str, ...], ...] = ()
    volumes: tuple[Volume, ...] = ()
    allow_host_network_files: bool = False


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What the enclave may use: bytes of dynamic memory, and threads at one time."""

    memory: int = 1 << 30
    threads: int = 64


@dataclass(frozen=True, kw_only=True)
class InstanceOptions:
    """What a backend is told beside the image. ``debuggable`` leaves the DEBUG attribute to the launcher."""

    policy: Policy
    resources: Resources
    isv_prod_id: int
    isv_svn: int
    debuggable: bool


@dataclass(frozen=True, kw_only=True)
class InstanceFile:
    """A file to be added below ``/.enclave``; ``path`` is relative to it, ``size`` in bytes."""

    path: str
    mode: int
    size: int
    open: Callable[[], BinaryIO] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Instance:
    """What makes an image run in a LibOS: files, and the enclave to be signed.

    ``shared_files`` are the same for every image of this LibOS version and get a layer of their own. The
    signed enclave itself is not among ``files``.
    """

    libos: str
    libos_version: str
    shared_files: tuple[InstanceFile, ...]
    files: tuple[InstanceFile, ...]
    unsigned_enclave: bytes
    enclave_config: EnclaveConfig
    policy: Policy


class Backend(Protocol):
    """One LibOS."""

    @property
    def name(self) -> str:
        """What ``--libos`` calls it."""
        ...

    @property
    def version(self) -> str:
        """The version of the LibOS files that go into the image."""
        ...

    def fingerprint(self) -> str:
        """Return a digest of all files that the backend itself contributes."""
        ...

    def instance(
        self, rootfs: Rootfs, image: Image, options: InstanceOptions, workdir: Path, reporter: Reporter
    ) -> Instance:
        """Make the instance; large files are written below ``workdir``, which lives until delivery."""
        ...
