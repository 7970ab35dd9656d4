"""What a LibOS's backend makes of an image, and what a TEE image is assembled from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Protocol

from enclavize.tee import layout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from enclavize.sgx.measurement import Measurement
    from enclavize.sgx.sigstruct import Sigstruct
    from enclavize.tee.policy import Policy


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
    path from the root of the image. ``mount_files`` and ``mount_directories`` are empty ones there, on which
    engines mount theirs. ``doubts`` say where the LibOS protects
    less than was asked for: warnings, or errors of a production build. Without ``keeps_layers`` the root
    file system is among ``files``, and the layers of the source are left out. ``simulation``: the enclave
    runs in simulation alone. ``left_out`` are patterns of files of the layers that the enclave does not have.
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
    mount_files: tuple[str, ...] = ()
    mount_directories: tuple[str, ...] = ()
    keeps_layers: bool = True
    start: Start = field(default_factory=Start)
    doubts: tuple[str, ...] = ()
    simulation: bool = False
    left_out: tuple[str, ...] = ()
