"""How an instance lies in a TEE image: what the readers of images ask a LibOS for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enclavize.oci.image import Image
    from enclavize.oci.image_config import ImageConfig
    from enclavize.rootfs.tree import Rootfs
    from enclavize.sgx.sigstruct import Sigstruct
    from enclavize.tee.contents import TeeContents
    from enclavize.tee.instance import MeasuredEnclave, Start
    from enclavize.tee.policy import Policy


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
        """Whether a file is executable; all others are readable only, or ``is_written``."""
        ...

    def is_written(self, path: str) -> bool:
        """Whether the LibOS opens a file for writing. In images of older builds it cannot be written to."""
        ...

    @property
    def unlisted_directories(self) -> frozenset[str]:
        """Directories below ``/.enclave`` whose files the enclave verifies itself, and nobody else need."""
        ...

    @property
    def links(self) -> Mapping[str, str]:
        """Targets of the instance's symbolic links, by path from the root of the image."""
        ...

    @property
    def writable_directories(self) -> frozenset[str]:
        """Directories below ``/.enclave`` that are there although nothing is in them."""
        ...

    @property
    def mount_files(self) -> frozenset[str]:
        """Empty files for engines to mount theirs on, by path from the root of the image.

        Images of older builds have none. Where there are some, there may be directories, too.
        """
        ...

    def mount_directories(self, contents: TeeContents) -> frozenset[str]:
        """Return the empty directories on which volumes are mounted, likewise. Raises EnclavizeError."""
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

    def simulation(self, contents: TeeContents) -> bool:
        """Whether the enclave cannot run on hardware, but in simulation alone. Raises EnclavizeError."""
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
