"""Instances of the builtin LibOS, read back from a TEE image."""

from __future__ import annotations

import filecmp
import hashlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from enclavize.errors import IntegrityError
from enclavize.libos.builtin.config import parse_configuration
from enclavize.libos.builtin.enclave import enclave_config, read_configuration, unconfigured
from enclavize.libos.builtin.volume_folders import with_volume_folders
from enclavize.libos.process_checks import check_health, check_stop_signal, check_user
from enclavize.libos.sdk_enclave import read_sdk_enclave
from enclavize.tee import layout
from enclavize.tee.instance import NO_HEALTH_CHECK, Start
from enclavize.tee.releases import version_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enclavize.libos.builtin.config import MeasuredConfiguration
    from enclavize.oci.image import Image
    from enclavize.oci.image_config import ImageConfig
    from enclavize.rootfs.tree import Rootfs
    from enclavize.sgx.sigstruct import Sigstruct
    from enclavize.tee.contents import TeeContents
    from enclavize.tee.instance import MeasuredEnclave
    from enclavize.tee.policy import Policy

MAX_ENCLAVE_SIZE = 256 << 20
"""Bytes of a signed enclave."""

MAX_RUNELET_SIZE = 64 << 20
"""Bytes."""

_LIMITS = {
    layout.RUNELET: MAX_RUNELET_SIZE,
    layout.SIGNED_ENCLAVE: MAX_ENCLAVE_SIZE,
    layout.ROOTFS_IMAGE: 64 << 30,
    layout.ROOTFS_VERITY: 1 << 40,
}


class BuiltinFormat:
    """One enclave file, which holds the measured configuration, and the metadata image it is bound to.

    The runelet is in the layer below.
    """

    signature_path = layout.SIGNED_ENCLAVE
    measures_marks = True
    required = frozenset(_LIMITS)
    layers = 2
    writable_directories: frozenset[str] = frozenset()
    mount_files: frozenset[str] = frozenset()
    unlisted_directories: frozenset[str] = frozenset()
    links: Mapping[str, str] = MappingProxyType({})

    def limit(self, path: str) -> int | None:
        """Return the largest size of a file of the instance."""
        return _LIMITS.get(path)

    def describes(self, path: str) -> bool:
        """Say that all files are listed."""
        return True

    def mount_directories(self, contents: TeeContents) -> frozenset[str]:
        """Say that there are none: the layers have what engines mount on."""
        return frozenset()

    def is_shared(self, path: str) -> bool:
        """Say that of the runelet alone."""
        return path == layout.RUNELET

    is_program = is_shared

    def sigstruct(self, signature_file: bytes) -> Sigstruct:
        """Return SIGSTRUCT as it stands in the enclave file. Raises EnclavizeError."""
        from enclavize.sgx.enclave_file import read_signed

        return read_signed(signature_file).sigstruct

    def enclave(self, contents: TeeContents) -> tuple[MeasuredEnclave, Sigstruct]:
        """Measure the enclave again, and compare what is not measured. Raises EnclavizeError."""
        from enclavize.sgx.enclave_file import check_metadata

        image = contents.read(layout.SIGNED_ENCLAVE)
        enclave, sigstruct = read_sdk_enclave(layout.SIGNED_ENCLAVE, image)
        measurement = sigstruct.measurement
        config = enclave_config(
            threads=_configuration(contents).threads,
            isv_prod_id=measurement.isv_prod_id,
            isv_svn=measurement.isv_svn,
            debuggable=measurement.debuggable,
        )
        check_metadata(image, config, sigstruct)
        return enclave, sigstruct

    def policy(self, contents: TeeContents) -> Policy:
        """Return the measured policy. Raises EnclavizeError."""
        return _configuration(contents).policy

    def start(self, contents: TeeContents) -> Start:
        """Return the runelet, whatever is in the image."""
        return Start()

    def argv(self, contents: TeeContents) -> tuple[str, ...]:
        """Return entrypoint and command. Raises EnclavizeError."""
        return _configuration(contents).argv

    def check_process(self, config: ImageConfig, rootfs: Rootfs, contents: TeeContents) -> None:
        """Compare with the measured configuration. Raises IntegrityError."""
        measured = _configuration(contents)
        user = measured.user
        check_user(config, rootfs, uid=user.uid, gid=user.gid, groups=user.groups)
        check_stop_signal(config, measured.stop_signal)
        check_health(config, layout.HEALTH_COMMAND if measured.healthcheck else NO_HEALTH_CHECK)

    @property
    def own_files(self) -> Mapping[str, str]:
        """Return the runelet, with the PAL linked in."""
        return {layout.RUNELET: "runelet"}

    def libos_version(self, contents: TeeContents) -> str | None:
        """Return the version of the enclave's code: what ``enclave.json`` says could be of another."""
        code = unconfigured(contents.read(layout.SIGNED_ENCLAVE))
        return version_of("libos.so", hashlib.sha256(code).hexdigest())

    def is_written(self, path: str) -> bool:
        """Say no: it reads what it has measured."""
        return False

    def simulation(self, contents: TeeContents) -> bool:
        """Say no: the same enclave runs on hardware."""
        return False

    def integrity_only(self, contents: TeeContents) -> str:
        """Say that the tree is bound by fs-verity digests."""
        return ""

    def measured(self, contents: TeeContents) -> dict[str, Any]:
        """Return the measured configuration. Raises EnclavizeError."""
        configuration = _configuration(contents)
        user, rootfs = configuration.user, configuration.rootfs
        return {
            "entrypoint": list(configuration.entrypoint),
            "command": list(configuration.command),
            "environment": list(configuration.environment),
            "working_directory": configuration.working_directory,
            "user": [user.uid, user.gid, *user.groups],
            "stop_signal": configuration.stop_signal,
            "healthcheck": list(configuration.healthcheck),
            "memory": configuration.memory,
            "threads": configuration.threads,
            **({"fault_around": configuration.fault_around} if configuration.fault_around else {}),
            **({"switchless": configuration.switchless} if configuration.switchless else {}),
            "hostname": configuration.hostname,
            "rootfs": {"size": rootfs.size, "verity": f"sha256:{rootfs.verity_digest.hex()}"},
        }

    def verify_instance(self, contents: TeeContents) -> None:
        """Compare sizes and the fs-verity digest of the root file system. Raises IntegrityError."""
        binding = _configuration(contents).rootfs
        if contents.size(layout.ROOTFS_VERITY) != binding.merkle_size:
            raise IntegrityError(f"/{layout.ROOT}/{layout.ROOTFS_VERITY} is not of the size that is measured")
        image = layout.ROOTFS_IMAGE
        if contents.size(image) != binding.size or contents.fs_verity(image) != binding.verity_digest:
            raise IntegrityError(f"/{layout.ROOT}/{image} is not the one that the enclave is bound to")

    def verify_rootfs(self, rootfs: Rootfs, image: Image, contents: TeeContents, workdir: Path) -> None:
        """Write the metadata of ``rootfs`` again, and compare. Raises IntegrityError.

        Releases before 0.2.0 made no folders of volumes.
        """
        from enclavize.libos.builtin.backend import INLINE_FILES
        from enclavize.rootfs.erofs import write_erofs

        erofs, verity = contents.path(layout.ROOTFS_IMAGE), contents.path(layout.ROOTFS_VERITY)
        name = f"/{layout.ROOT}/{layout.ROOTFS_IMAGE}"
        again, verity_again = workdir / "again.erofs", workdir / "again.verity"
        trees = dict.fromkeys((with_volume_folders(rootfs, image.config.volumes), rootfs))
        for tree in trees:
            write_erofs(tree, again, verity_again, inline=INLINE_FILES)
            if filecmp.cmp(erofs, again, shallow=False):
                break
        else:
            raise IntegrityError(
                f"the files in the layers of {image.name} are not those that {name} binds the enclave to"
            )
        if not filecmp.cmp(verity, verity_again, shallow=False):
            raise IntegrityError(
                f"/{layout.ROOT}/{layout.ROOTFS_VERITY} does not hold the hashes of the layers' files"
            )


def _configuration(contents: TeeContents) -> MeasuredConfiguration:
    return parse_configuration(read_configuration(contents.read(layout.SIGNED_ENCLAVE)))
