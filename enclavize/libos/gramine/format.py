"""Instances of Gramine, read back from a TEE image."""

from __future__ import annotations

import re
import signal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from enclavize.errors import IntegrityError, InvalidImageError
from enclavize.libos.gramine import layout
from enclavize.libos.gramine.defaults import parse_defaults
from enclavize.libos.gramine.enclave import MeasuredGramineEnclave
from enclavize.libos.gramine.manifest_reader import MAX_MANIFEST_SIZE, read_manifest
from enclavize.libos.gramine.mounts import mounted_links
from enclavize.libos.gramine.selection import must_be_listed
from enclavize.libos.gramine.stated_files import pinned_files, pinned_volumes
from enclavize.libos.gramine.trusted_files import hidden_paths, unlisted_files
from enclavize.libos.loader_names import is_loader_like
from enclavize.libos.process_checks import check_health, check_stop_signal, check_user
from enclavize.rootfs.entry import FileType
from enclavize.rootfs.names import printable
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.sgx.structures import SIGSTRUCT_SIZE
from enclavize.tee.instance import NO_HEALTH_CHECK, Start
from enclavize.tee.layout import HEALTH_COMMAND, ROOT, RUNELET
from enclavize.tee.policy import AllowedVariable, Policy, Volume

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enclavize.oci.image import Image
    from enclavize.oci.image_config import ImageConfig
    from enclavize.rootfs.tree import Rootfs
    from enclavize.tee.contents import TeeContents
    from enclavize.tee.instance import MeasuredEnclave

_MAX_FILE_SIZE = 64 << 20
_MAX_NETWORK_FILE_SIZE = 1 << 20
_MAX_DEFAULTS_SIZE = 1 << 20

_LIMITS = {
    layout.MANIFEST: MAX_MANIFEST_SIZE,
    layout.SIGNATURE: SIGSTRUCT_SIZE,
    layout.DEFAULTS: _MAX_DEFAULTS_SIZE,
    layout.LIBRARY_CACHE: _MAX_FILE_SIZE,
    RUNELET: _MAX_FILE_SIZE,
    layout.LIBOS: _MAX_FILE_SIZE,
    layout.SGX_LIBPAL: _MAX_FILE_SIZE,
    layout.SGX_LOADER: _MAX_FILE_SIZE,
    layout.DIRECT_LIBPAL: _MAX_FILE_SIZE,
    layout.DIRECT_LOADER: _MAX_FILE_SIZE,
    **{f"{layout.NETWORK_FILES}/{name}": _MAX_NETWORK_FILE_SIZE for name in layout.NETWORK_FILE_NAMES},
}
_LIBRARY = re.compile(
    rf"({layout.RUNTIME}/(glibc|musl)|{layout.HOST})/{layout.RUNTIME_LIBRARY.pattern}", re.ASCII
)
_OPTIONAL = {
    layout.DEFAULTS,
    layout.LIBRARY_CACHE,
    *(f"{layout.NETWORK_FILES}/{name}" for name in layout.NETWORK_FILE_NAMES),
}
_OWN_FILES = f"file:/{ROOT}/"

LINKS = MappingProxyType({layout.absolute(layout.DIRECT_MANIFEST)[1:]: layout.MANIFEST.rpartition("/")[2]})
"""By which direct mode finds the manifest: path from the root of the image, and target."""


class GramineFormat:
    """A manifest and its signature in the last layer; the PAL and the LibOS in the one below."""

    signature_path = layout.SIGNATURE
    measures_marks = False
    required = frozenset(_LIMITS) - _OPTIONAL
    layers = 2
    writable_directories: frozenset[str] = frozenset()
    mount_files: frozenset[str] = frozenset()
    unlisted_directories: frozenset[str] = frozenset()
    links = LINKS

    def limit(self, path: str) -> int | None:
        """Return the largest size of a file of the instance."""
        return _MAX_FILE_SIZE if _LIBRARY.fullmatch(path) else _LIMITS.get(path)

    def describes(self, path: str) -> bool:
        """Say that all files are listed."""
        return True

    def mount_directories(self, contents: TeeContents) -> frozenset[str]:
        """Say that there are none: the layers have what engines mount on."""
        return frozenset()

    def is_shared(self, path: str) -> bool:
        """Say that of the runelet and of Gramine's own files."""
        return path == RUNELET or path.startswith(f"{layout.GRAMINE}/")

    def is_program(self, path: str) -> bool:
        """Say that of the runelet and of loaders."""
        return layout.is_program(path)

    def sigstruct(self, signature_file: bytes) -> Sigstruct:
        """Return SIGSTRUCT, which the file is. Raises IntegrityError."""
        return Sigstruct.parse(signature_file)

    def enclave(self, contents: TeeContents) -> tuple[MeasuredEnclave, Sigstruct]:
        """Measure libpal.so and the manifest again. Raises EnclavizeError."""
        from enclavize.sgx.gramine_manifest import complete

        text = contents.read(layout.MANIFEST)
        manifest = complete(read_manifest(text))
        if manifest.text != text:
            raise IntegrityError(f"/{ROOT}/{layout.MANIFEST} is not as Gramine's tools write it")
        measurement = manifest.measure(contents.read(layout.SGX_LIBPAL))
        sigstruct = Sigstruct.parse(contents.read(layout.SIGNATURE))
        if sigstruct.measurement != measurement:
            raise IntegrityError("SIGSTRUCT is not that of this manifest and libpal.so")
        return MeasuredGramineEnclave(measurement=measurement), sigstruct

    def policy(self, contents: TeeContents) -> Policy:
        """Return what the manifest leaves to the host. Raises InvalidImageError."""
        return policy_of(_manifest(contents))

    def start(self, contents: TeeContents) -> Start:
        """Return the runelet, whatever is in the image."""
        return Start()

    def argv(self, contents: TeeContents) -> tuple[str, ...]:
        """Return ``loader.argv``; the program alone if the host gives arguments. Raises InvalidImageError."""
        manifest = _manifest(contents)
        program = manifest["libos"].get("entrypoint", "")
        return tuple(manifest["loader"].get("argv", [program]))

    def check_process(self, config: ImageConfig, rootfs: Rootfs, contents: TeeContents) -> None:
        """Compare with the manifest, and with what holds for all of Gramine. Raises IntegrityError."""
        loader = _manifest(contents)["loader"]
        check_user(config, rootfs, uid=loader.get("uid", 0), gid=loader.get("gid", 0))
        check_stop_signal(config, signal.SIGTERM)
        # The runelet answers that there is none: images before 0.2.0 have it ask in vain.
        check_health(config, NO_HEALTH_CHECK, HEALTH_COMMAND)

    @property
    def own_files(self) -> Mapping[str, str]:
        """Return the runelet, with the PAL for Gramine linked in."""
        return {RUNELET: "runelet-gramine"}

    def libos_version(self, contents: TeeContents) -> str | None:
        """Return what ``enclave.json`` says."""
        return contents.description.libos_version

    def is_written(self, path: str) -> bool:
        """Say no: it reads what it has measured."""
        return False

    def simulation(self, contents: TeeContents) -> bool:
        """Say no: the same enclave runs on hardware."""
        return False

    def integrity_only(self, contents: TeeContents) -> str:
        """Say that trusted files are bound by SHA-256."""
        return ""

    def measured(self, contents: TeeContents) -> dict[str, Any]:
        """Return the manifest, with the number of trusted files for their list. Raises InvalidImageError."""
        manifest = _manifest(contents)
        trusted = len(manifest["sgx"]["trusted_files"])
        return {**manifest, "sgx": {**manifest["sgx"], "trusted_files": trusted}}

    def verify_instance(self, contents: TeeContents) -> None:
        """Compare the LibOS and our trusted files with the manifest. Raises IntegrityError."""
        manifest = _manifest(contents)
        wanted = {"uri": layout.uri(layout.absolute(layout.LIBOS)), "sha256": contents.digest(layout.LIBOS)}
        if manifest["loader"].get("entrypoint") != wanted:
            raise IntegrityError(f"/{ROOT}/{layout.LIBOS} is not the LibOS that the enclave loads")
        for file in manifest["sgx"]["trusted_files"]:
            name = file["uri"].removeprefix(_OWN_FILES)
            if name != file["uri"] and contents.digest(name) != file["sha256"]:
                raise IntegrityError(
                    f"/{ROOT}/{printable(name)} is not the file that the enclave is bound to"
                )
        if contents.digest(layout.DEFAULTS):
            try:
                parse_defaults(contents.read(layout.DEFAULTS)).check(self.policy(contents))
            except IntegrityError as error:
                raise IntegrityError(f"/{ROOT}/{layout.DEFAULTS}: {error}") from error

    def verify_rootfs(self, rootfs: Rootfs, image: Image, contents: TeeContents, workdir: Path) -> None:
        """Compare every other trusted file with that of the layers. Raises IntegrityError.

        The program cannot open files that are not in the list, but what runs outside of the enclave can.
        """
        manifest = _manifest(contents)
        trusted = manifest["sgx"]["trusted_files"]
        for file in trusted[len(pinned_files(manifest)) :]:
            uri = file["uri"]
            if uri.startswith(_OWN_FILES):
                continue
            entry = rootfs.find(uri.removeprefix("file:"))
            regular = entry is not None and entry.type is FileType.REGULAR
            found = entry.sha256.hex() if entry is not None and regular else ""
            if found != file["sha256"]:
                what = "is not in the layers" if not found else "is another file than the one"
                raise IntegrityError(
                    f"{printable(uri.removeprefix('file:'))} {what} of {image.name}, "
                    "which the enclave is bound to"
                )
        for path, folder in mounted_links(manifest["fs"].get("mounts", [])):
            entry = rootfs.find(path)
            if entry is None or f"/{entry.path}" != folder:
                raise IntegrityError(
                    f"{printable(path)} of {image.name} does not lead to {printable(folder)}, as it does in "
                    "the enclave"
                )
        listed = {file["uri"].removeprefix("file:") for file in trusted}
        hidden = hidden_paths(policy_of(manifest).volumes)
        for path in unlisted_files(rootfs, listed, hidden):
            if contents.description.left_out and not must_be_listed(path):
                continue
            raise IntegrityError(
                f"{printable(path)} is in the layers of {image.name}, but the enclave is not bound to it"
            )


_OPEN_TO_THE_HOST = (
    ("loader", "insecure__use_host_env"),
    ("loader", "env_src_file"),
    ("loader", "argv_src_file"),
)


def policy_of(manifest: Mapping[str, Any]) -> Policy:
    """Return what a manifest leaves to the host. Raises InvalidImageError for what no policy can say."""
    loader, allowed = manifest["loader"], list(manifest["sgx"].get("allowed_files", []))
    network = [layout.uri(f"/etc/{name}") for name in layout.NETWORK_FILE_NAMES]
    has_network = allowed[-len(network) :] == network
    volumes = allowed[: -len(network)] if has_network else allowed
    if not manifest["sgx"].get("debug") and manifest["sgx"].get("file_check_policy", "strict") != "strict":
        raise InvalidImageError(
            "the manifest has sgx.file_check_policy, by which the host can change all files"
        )
    if not manifest["sgx"].get("debug") and manifest["fs"].get("insecure__keys"):
        raise InvalidImageError(
            "the manifest has fs.insecure__keys: keys of encrypted files that everybody has"
        )
    for table, key in _OPEN_TO_THE_HOST:
        if manifest[table].get(key):
            raise InvalidImageError(
                f"the manifest has {table}.{key}, which leaves more to the host than a policy"
            )
    names = sorted(
        name
        for name, value in loader.get("env", {}).items()
        if isinstance(value, dict) and value.get("passthrough")
    )
    return Policy(
        allow_arguments=loader.get("insecure__use_cmdline_argv", False),
        allowed_environment=tuple(AllowedVariable(name=name, unsafe=is_loader_like(name)) for name in names),
        volumes=(
            *(Volume(path=uri.removeprefix("file:").rstrip("/"), executable=True) for uri in volumes),
            *pinned_volumes(manifest),
        ),
        allow_host_network_files=has_network,
    )


def _manifest(contents: TeeContents) -> dict[str, Any]:
    return read_manifest(contents.read(layout.MANIFEST))
