"""What LibOS backends share: the instance they make, the policy and resources they are given."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from enclavize.tee import layout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from enclavize.oci.image import Image
    from enclavize.oci.image_config import ImageConfig
    from enclavize.progress import Reporter
    from enclavize.rootfs.tree import Rootfs
    from enclavize.sgx.measurement import Measurement
    from enclavize.sgx.sigstruct import Sigstruct
    from enclavize.tee.contents import TeeContents

MIN_MEMORY = 1 << 20
MAX_MEMORY = 56 << 30
"""Bytes of dynamic memory that a program may commit; its part of ELRANGE has 56 GiB."""

MAX_THREADS = 4096

ANY_COMMAND = "*"
"""Stands for every command in lists of those that the host may start."""


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

    def with_marks_of(self, other: Policy) -> Policy:
        """Return this policy with ``unsafe`` as in ``other``, for LibOSes that measure names alone.

        Another version of enclavize may have had another list of such names.
        """
        marks = {variable.name: variable.unsafe for variable in other.allowed_environment}
        marked = (
            replace(variable, unsafe=marks.get(variable.name, variable.unsafe))
            for variable in self.allowed_environment
        )
        return replace(self, allowed_environment=tuple(marked))


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What the enclave may use: bytes of dynamic memory, and threads at one time.

    ``kernel_heap`` are the bytes that a LibOS with a heap of its own has for it; None: its default.
    """

    memory: int = 1 << 30
    threads: int = 64
    kernel_heap: int | None = None


@dataclass(frozen=True, kw_only=True)
class InstanceOptions:
    """What a backend is told beside the image. ``debuggable`` leaves the DEBUG attribute to the launcher.

    ``table`` is the LibOS's own part of the configuration file, which the backend validates.
    """

    policy: Policy
    resources: Resources
    isv_prod_id: int
    isv_svn: int
    debuggable: bool
    table: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class InstanceFile:
    """A file to be added below ``/.enclave``; ``path`` is relative to it, ``size`` in bytes."""

    path: str
    mode: int
    size: int
    open: Callable[[], BinaryIO] = field(repr=False)


class MeasuredEnclave(Protocol):
    """An enclave whose MRENCLAVE is known, and that can be given a signature."""

    @property
    def measurement(self) -> Measurement:
        """What SIGSTRUCT will say."""
        ...

    def signed(self, sigstruct: Sigstruct) -> InstanceFile:
        """Return the file that carries the signature. Raises IntegrityError if it is of another enclave."""
        ...

    def prepared(self, date: int) -> InstanceFile:
        """Return the same file with an unsigned SIGSTRUCT: to be signed elsewhere."""
        ...


class Enclave(Protocol):
    """An enclave that is complete, but was not measured yet."""

    def measure(self) -> MeasuredEnclave:
        """Measure it. Raises EnclavizeError if it cannot be loaded as it is."""
        ...


NO_HEALTH_CHECK = ("NONE",)
"""``Test`` of an image whose health nobody looks at."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a container engine starts, and with which environment and working directory.

    ``health`` is what it runs to see whether the program is well, in images that have a health check.
    ``user`` and ``stop_signal`` take the place of the source's, unless they are None.
    """

    entrypoint: tuple[str, ...] = (layout.ENTRYPOINT,)
    health: tuple[str, ...] = layout.HEALTH_COMMAND
    command: tuple[str, ...] | None = None
    environment: tuple[str, ...] | None = None
    working_directory: str = "/"
    user: str | None = None
    stop_signal: str | None = None


@dataclass(frozen=True, kw_only=True)
class Instance:
    """What makes an image run in a LibOS: files, and the enclave to be signed.

    ``shared_files`` are the same for every image of this LibOS version and get a layer of their own. The file
    that carries the signature is not among ``files``. ``writable_directories`` are below ``/.enclave``;
    ``argv`` is the program with its arguments, as far as they are measured. ``links`` are symbolic ones, by
    path from the root of the image. ``doubts`` say where the LibOS protects
    less than was asked for: warnings, or errors of a production build. Without ``keeps_layers`` the root
    file system is among ``files``, and the layers of the source are left out.
    """

    libos: str
    libos_version: str
    shared_files: tuple[InstanceFile, ...]
    files: tuple[InstanceFile, ...]
    enclave: Enclave
    policy: Policy
    argv: tuple[str, ...]
    writable_directories: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    keeps_layers: bool = True
    start: Start = field(default_factory=Start)
    doubts: tuple[str, ...] = ()


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


class InstanceFormat(Protocol):
    """How the instance of one LibOS lies in a TEE image: the way back from the image."""

    @property
    def measures_marks(self) -> bool:
        """Whether ``unsafe`` of variables that the host may set is measured, and not their names alone."""
        ...

    @property
    def signature_path(self) -> str:
        """The file below ``/.enclave`` that carries SIGSTRUCT."""
        ...

    @property
    def required(self) -> frozenset[str]:
        """Files below ``/.enclave`` without which this is no such instance."""
        ...

    @property
    def layers(self) -> int:
        """How many of the image's last layers hold the files that ``limit`` knows."""
        ...

    def limit(self, path: str) -> int | None:
        """Return the largest size in bytes of a file below ``/.enclave``; None: it does not belong there."""
        ...

    def describes(self, path: str) -> bool:
        """Whether ``enclave.json`` lists a file below ``/.enclave``; others are bound by what is measured."""
        ...

    def is_shared(self, path: str) -> bool:
        """Whether a file is in the layer that all images of this LibOS version have in common."""
        ...

    def is_program(self, path: str) -> bool:
        """Whether a file is executable; all others are readable only."""
        ...

    @property
    def links(self) -> Mapping[str, str]:
        """Targets of the instance's symbolic links, by path from the root of the image."""
        ...

    @property
    def writable_directories(self) -> frozenset[str]:
        """Directories below ``/.enclave`` that are there although nothing is in them."""
        ...

    def sigstruct(self, signature_file: bytes) -> Sigstruct:
        """Return SIGSTRUCT as it stands in the file, not verified. Raises EnclavizeError."""
        ...

    def enclave(self, contents: TeeContents) -> tuple[MeasuredEnclave, Sigstruct]:
        """Measure the enclave again; return it with the SIGSTRUCT that it has, signed or not.

        Raises IntegrityError if the SIGSTRUCT is of another enclave.
        """
        ...

    def policy(self, contents: TeeContents) -> Policy:
        """Return the policy as it is measured. Raises EnclavizeError."""
        ...

    def start(self, contents: TeeContents) -> Start:
        """Return what engines must start. Raises EnclavizeError."""
        ...

    def argv(self, contents: TeeContents) -> tuple[str, ...]:
        """Return the measured entrypoint and command, as in ``Instance``. Raises EnclavizeError."""
        ...

    def check_process(self, config: ImageConfig, rootfs: Rootfs, contents: TeeContents) -> None:
        """Compare user, stop signal and health check of an image with what is measured.

        ``rootfs`` is the whole tree, in which engines look the user up. Raises IntegrityError.
        """
        ...

    @property
    def own_files(self) -> Mapping[str, str]:
        """Enclavize's own files that run outside of the enclave: name of the component by path."""
        ...

    def libos_version(self, contents: TeeContents) -> str | None:
        """Return the version of the LibOS, as far as it can be known; None: of no release."""
        ...

    def integrity_only(self, contents: TeeContents) -> str:
        """Tell why a determined host could change files that the enclave is bound to; "" if it could not.

        Raises EnclavizeError.
        """
        ...

    def measured(self, contents: TeeContents) -> dict[str, Any]:
        """Return the measured configuration for people, as a JSON value. Raises EnclavizeError."""
        ...

    def verify_instance(self, contents: TeeContents) -> None:
        """Compare the instance's own files with what is measured, as far as that takes no layer.

        Raises IntegrityError.
        """
        ...

    def verify_rootfs(self, rootfs: Rootfs, image: Image, contents: TeeContents, workdir: Path) -> None:
        """Check that the enclave is bound to the files of ``rootfs`` and nothing else.

        ``rootfs`` is without the enclave's own files. Raises IntegrityError.
        """
        ...
