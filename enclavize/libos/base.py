"""What LibOS backends share: the options they are given, and the instance they make of an image."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enclavize.compat.profile import Profile
    from enclavize.oci.image import Image
    from enclavize.progress import Reporter
    from enclavize.rootfs.tree import Rootfs
    from enclavize.tee.instance import Instance, InstanceFile
    from enclavize.tee.policy import Policy

MIN_MEMORY = 1 << 20
MAX_MEMORY = 56 << 30
"""Bytes of dynamic memory that a program may commit; its part of ELRANGE has 56 GiB."""

MAX_THREADS = 4096

MAX_SWITCHLESS = 4
"""Host threads for switchless calls: each burns a processor while it watches."""

MAX_FAULT_AROUND = 64 << 20
"""Bytes of untouched memory that one page fault may bring."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What the enclave may use: bytes of dynamic memory, and threads at one time.

    ``kernel_heap`` are the bytes that a LibOS with a heap of its own has for it; None: its default.
    ``fault_around`` are the bytes that a page fault of the builtin LibOS may bring; None: its default.
    ``switchless`` are the host threads that serve calls of the builtin LibOS which do not leave it.
    ``given`` are the names of those that somebody asked for.
    """

    memory: int = 1 << 30
    threads: int = 64
    kernel_heap: int | None = None
    fault_around: int | None = None
    switchless: int = 0
    given: tuple[str, ...] = field(default=(), compare=False)

    def advised(self, *, memory: int, threads: int) -> Resources:
        """Return what was given, and these where nothing was."""
        return replace(
            self,
            memory=self.memory if "memory" in self.given else memory,
            threads=self.threads if "threads" in self.given else threads,
        )


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

    @property
    def profile(self) -> Profile:
        """What the LibOS can run, with the files that go into the image."""
        ...

    @property
    def keeps_layers(self) -> bool:
        """Whether the image's layers are in the TEE image; else it has the root in a form of its own."""
        ...

    def fingerprint(self) -> str:
        """Return a digest of all files that the backend itself contributes."""
        ...

    def shared_files(self) -> tuple[InstanceFile, ...]:
        """Return the files that every image gets, in a layer of their own: known before there is an image.

        Raises UsageError for what the toolchain lacks.
        """
        ...

    def instance(
        self, rootfs: Rootfs, image: Image, options: InstanceOptions, workdir: Path, reporter: Reporter
    ) -> Instance:
        """Make the instance; large files are written below ``workdir``, which lives until delivery."""
        ...
