"""What a build is asked to do: parsed, checked, immutable."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from enclavize.libos.base import InstanceOptions, Resources
from enclavize.libos.gramine.asked import memory_folders
from enclavize.oci.platform import LINUX_AMD64
from enclavize.tee.policy import Policy

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from enclavize.oci.location import Location
    from enclavize.oci.platform import Platform


AUTO = "auto"
"""Name of no LibOS: the one that suits the image best is taken."""


class OutputKind(StrEnum):
    """Where a TEE image can go."""

    IMAGE = "image"
    """buildx's ``type=image`` without push: nothing, until ``--push`` turns it into REGISTRY."""
    REGISTRY = "registry"
    DAEMON = "docker daemon"
    DOCKER_ARCHIVE = "docker archive"
    OCI_ARCHIVE = "OCI archive"
    OCI_LAYOUT = "OCI layout"
    LOCAL = "folder"
    TAR = "tar file"

    @property
    def writes_files(self) -> bool:
        """Whether the output is at a path, or on standard output if no path is given."""
        return self not in (OutputKind.IMAGE, OutputKind.REGISTRY, OutputKind.DAEMON)

    @property
    def is_image(self) -> bool:
        """Whether what comes out is an image, with a digest; not only files."""
        return self not in (OutputKind.LOCAL, OutputKind.TAR)


@dataclass(frozen=True, kw_only=True)
class Output:
    """One place to deliver to. Without ``destination``, file outputs go to standard output."""

    kind: OutputKind
    destination: Path | None = None
    names: tuple[str, ...] = ()

    @property
    def to_standard_output(self) -> bool:
        """Whether the bytes go to standard output."""
        return self.kind.writes_files and self.destination is None


@dataclass(frozen=True, kw_only=True)
class KeySigner:
    """A private key, as ``signing.signers.open_signer`` names it; ``passphrase`` also gives a token's PIN."""

    reference: str
    passphrase: Callable[[], bytes] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ServiceSigner:
    """A signing service, and how it knows us; see ``signing.remote.RemoteSigner``."""

    url: str
    token_file: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None


@dataclass(frozen=True)
class NoSigner:
    """Nobody signs now: the image is to be signed elsewhere."""


@dataclass(frozen=True, kw_only=True)
class SigningOptions:
    """Who signs, and what SIGSTRUCT says besides the measurement.

    Without ``signer`` the user's own debug key signs, and the image is a debug image.
    """

    signer: KeySigner | ServiceSigner | NoSigner | None = None
    isv_prod_id: int = 0
    isv_svn: int = 0
    debug: bool = True
    date: dt.date | None = None


@dataclass(frozen=True, kw_only=True)
class ImageSigning:
    """The image as a whole is signed: by ``key``, or by the enclave's signer if that is None."""

    key: KeySigner | None = None


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """A whole build."""

    source: Location
    platform: Platform = LINUX_AMD64
    """Which image of an index: one for this level of the processor, or for a lower one."""
    outputs: tuple[Output, ...]
    libos: str = "builtin"
    """Name of a backend, or AUTO."""
    toolchain: str | None = None
    """Where the LibOS's files are; see ``libos.toolchain``. None: where this machine has them installed."""
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Tables of the configuration file by LibOS."""
    policy: Policy = field(default_factory=Policy)
    resources: Resources = field(default_factory=Resources)
    signing: SigningOptions = field(default_factory=SigningOptions)
    image_signing: ImageSigning | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    use_cache: bool = True
    insecure: bool = False
    forced: tuple[str, ...] = ()
    """Codes of findings that do not stop the build."""
    strict: bool = False
    """``--production``: a warning stops the build."""
    metadata_file: Path | None = None
    image_id_file: Path | None = None
    source_date_epoch: int | None = None

    def writable(self, libos: str) -> tuple[str, ...]:
        """Return the folders that the program may write to beside those of the image's volumes."""
        folders = memory_folders(self.tables.get(libos, {}))
        return (*(volume.path for volume in self.policy.volumes), *folders)

    def instance(self, libos: str) -> InstanceOptions:
        """Return what a LibOS is told. A debug image allows any exec, so that one can look into it."""
        policy = replace(self.policy, allow_any_exec=True) if self.signing.debug else self.policy
        return InstanceOptions(
            policy=policy,
            resources=self.resources,
            isv_prod_id=self.signing.isv_prod_id,
            isv_svn=self.signing.isv_svn,
            debuggable=self.signing.debug,
            table=self.tables.get(libos, {}),
        )
