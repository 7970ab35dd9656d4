"""The builtin LibOS: from an image to its instance."""

from __future__ import annotations

import hashlib
import posixpath
import re
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from enclavize import __version__
from enclavize.errors import EnclavizeError, IncompatibleImageError
from enclavize.libos.base import InstanceOptions, Resources
from enclavize.libos.builtin.config import MeasuredConfiguration, RootfsBinding
from enclavize.libos.builtin.enclave import enclave_config, with_configuration
from enclavize.libos.builtin.process import environment, health_command, host_signals, stop_signal_of
from enclavize.libos.builtin.users import account_of
from enclavize.libos.builtin.volume_folders import with_volume_folders
from enclavize.libos.sdk_enclave import SdkEnclave
from enclavize.resources import native_file
from enclavize.tee import layout
from enclavize.tee.instance import Instance, InstanceFile
from enclavize.tee.policy import Network, Policy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from enclavize.compat.profile import Profile
    from enclavize.oci.image import Image
    from enclavize.oci.image_config import ImageConfig
    from enclavize.progress import Reporter
    from enclavize.rootfs.tree import Rootfs

INLINE_FILES = frozenset({"etc/hosts", "etc/hostname", "etc/resolv.conf"})
"""Files that are inside the metadata image: engines mount their own over those of the layers."""

DEFAULT_HOSTNAME = "localhost"
_HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,62}[A-Za-z0-9])?", re.ASCII)  # HOST_NAME_MAX is 64


class BuiltinBackend:
    """Makes instances for the LibOS of this package."""

    name = "builtin"
    keeps_layers = True
    version = __version__

    @property
    def profile(self) -> Profile:
        """What the LibOS can run, in this version."""
        from enclavize.compat.profile import profile_for

        return profile_for(self.name, version=self.version)

    def fingerprint(self) -> str:
        """Return a digest of the LibOS's own files."""
        digest = hashlib.sha256()
        for file in ("libos.so", "runelet"):
            path = native_file(file)
            status = path.stat()
            digest.update(_digest_of(path, status.st_ino, status.st_size, status.st_mtime_ns))
        return digest.hexdigest()

    def shared_files(self) -> tuple[InstanceFile, ...]:
        """Return the runelet."""
        return (_file(layout.RUNELET, native_file("runelet"), 0o555),)

    def instance(
        self, rootfs: Rootfs, image: Image, options: InstanceOptions, workdir: Path, reporter: Reporter
    ) -> Instance:
        """Make the instance. Raises EnclavizeError for what the image or the options cannot have."""
        from enclavize.rootfs.erofs import write_erofs

        options = replace(options, policy=with_network(options.policy, image.config))
        rootfs = with_volume_folders(rootfs, image.config.volumes)
        erofs, verity = workdir / "rootfs.erofs", workdir / "rootfs.verity"
        with reporter.task(f"write the metadata of {len(rootfs)} files"):
            metadata = write_erofs(rootfs, erofs, verity, inline=INLINE_FILES)
        binding = RootfsBinding(
            size=metadata.size, verity_digest=metadata.digest, merkle_size=metadata.verity_size
        )
        configuration = configure(rootfs, image.config, options, binding)
        return Instance(
            libos=self.name,
            libos_version=self.version,
            shared_files=self.shared_files(),
            files=(_file(layout.ROOTFS_IMAGE, erofs, 0o444), _file(layout.ROOTFS_VERITY, verity, 0o444)),
            enclave=SdkEnclave(
                path=layout.SIGNED_ENCLAVE,
                image=with_configuration(native_file("libos.so").read_bytes(), configuration.to_bytes()),
                config=enclave_config(
                    threads=options.resources.threads,
                    isv_prod_id=options.isv_prod_id,
                    isv_svn=options.isv_svn,
                    debuggable=options.debuggable,
                ),
            ),
            policy=options.policy,
            argv=configuration.argv,
            doubts=tuple(doubts_about_host_files(rootfs, options.policy)),
        )


@cache
def _digest_of(path: Path, *_as_it_is: int) -> bytes:
    """The node's daemon asks for it whenever a container starts."""
    return hashlib.sha256(path.read_bytes()).digest()


def with_network(policy: Policy, config: ImageConfig) -> Policy:
    """Return the policy with a network: what was asked for, else all for an image that exposes ports."""
    chosen = policy.network or (Network.ALL if config.exposed_ports else Network.LOOPBACK)
    return replace(policy, network=chosen)


def configure(
    rootfs: Rootfs, config: ImageConfig, options: InstanceOptions, binding: RootfsBinding
) -> MeasuredConfiguration:
    """Return the measured configuration of an image. Raises EnclavizeError."""
    if not (config.entrypoint or config.cmd):
        raise IncompatibleImageError(
            "the image names no program to run: it has neither an entrypoint nor a command",
            hint="set ENTRYPOINT in the image; of dir:PATH: --entrypoint",
        )
    account = account_of(rootfs, config)
    stop_signal = stop_signal_of(config)
    return MeasuredConfiguration(
        entrypoint=config.entrypoint,
        command=config.cmd,
        environment=environment(config, account.home),
        working_directory=posixpath.normpath(posixpath.join("/", config.working_dir)).replace("//", "/"),
        user=account.user,
        stop_signal=stop_signal,
        policy=options.policy,
        healthcheck=health_command(config),
        rootfs=binding,
        memory=options.resources.memory,
        threads=options.resources.threads,
        host_signals=host_signals(stop_signal),
        hostname=hostname_of(rootfs),
        fault_around=options.resources.fault_around,
        switchless=options.resources.switchless,
    )


def configuration_problem(rootfs: Rootfs, config: ImageConfig) -> EnclavizeError | None:
    """Return why an image's own words do not fit into the enclave, whatever a build adds; None if they do."""
    options = InstanceOptions(
        policy=with_network(Policy(), config),
        resources=Resources(),
        isv_prod_id=0,
        isv_svn=0,
        debuggable=False,
    )
    binding = RootfsBinding(size=0, verity_digest=bytes(32), merkle_size=0)
    try:
        configure(rootfs, config, options, binding).to_bytes()
    except EnclavizeError as error:
        return error
    return None


def doubts_about_host_files(rootfs: Rootfs, policy: Policy) -> Iterator[str]:
    """Yield which of the files that engines put their own in place of are too large to be in the enclave."""
    from enclavize.rootfs.erofs import MAX_INLINE_NAMED

    for path in sorted(INLINE_FILES):
        entry = rootfs.find(path)
        if entry is not None and entry.size > MAX_INLINE_NAMED and not policy.allow_host_network_files:
            yield (
                f"/{path} has {entry.size} bytes, and only {MAX_INLINE_NAMED} fit into the enclave: where an "
                "engine puts its own file there, the program gets an error (EIO) for it"
            )


def hostname_of(rootfs: Rootfs) -> str:
    """Return the host name in the image's /etc/hostname if it is one."""
    entry = rootfs.find("etc/hostname")
    text = ((entry and rootfs.content(entry)) or b"").decode("ascii", "replace").strip()
    return text if _HOSTNAME.fullmatch(text) else DEFAULT_HOSTNAME


def _file(path: str, source: Path, mode: int) -> InstanceFile:
    return InstanceFile(path=path, mode=mode, size=source.stat().st_size, open=lambda: source.open("rb"))
