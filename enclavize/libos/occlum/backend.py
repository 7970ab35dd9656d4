"""Occlum: from an image to its instance. The root file system is in that, so the layers are left out."""

from __future__ import annotations

import hashlib
import io
import json
import signal
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, BinaryIO

from enclavize.compat.program import find_program as find_files
from enclavize.errors import UsageError
from enclavize.libos.builtin.process import stop_signal_of
from enclavize.libos.builtin.users import account_of
from enclavize.libos.network import with_host_network
from enclavize.libos.occlum import init_ra, layout
from enclavize.libos.occlum.build import SgxMode, build, key_doubts, mode_doubts
from enclavize.libos.occlum.capacity import capacity_warnings
from enclavize.libos.occlum.chain import START, BoundStart, policy_of
from enclavize.libos.occlum.configuration import check_configuration, refusal
from enclavize.libos.occlum.document import find_program, make_document, with_table, within_given_heap
from enclavize.libos.occlum.files import toolchain_files
from enclavize.libos.occlum.format import (
    ENCLAVE_PATH,
    INSTANCE,
    LINKS,
    WRITABLE_DIRECTORIES,
    occlum_start,
)
from enclavize.libos.occlum.image_tree import ImageTree
from enclavize.libos.occlum.initfs import init_tree
from enclavize.libos.occlum.instance import run_directories
from enclavize.libos.occlum.libraries import CLibrary, lay_over, provided_by, wanted_by
from enclavize.libos.occlum.mount_points import (
    MOUNT_FILES,
    check_directories,
    check_volume,
    source_directories,
)
from enclavize.libos.occlum.mount_targets import target_problems
from enclavize.libos.occlum.options import parse_table
from enclavize.libos.occlum.tree_builder import data_file
from enclavize.libos.occlum.versions import parse_release
from enclavize.libos.sdk_enclave import SdkEnclave
from enclavize.libos.toolchain_profile import profile_of
from enclavize.rootfs.names import path_bytes, printable
from enclavize.tee.instance import Instance, InstanceFile
from enclavize.tee.tar import FILE_MODE, WRITTEN_MODE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from enclavize.compat.profile import Profile
    from enclavize.libos.base import InstanceOptions
    from enclavize.libos.occlum.configuration import Configuration
    from enclavize.libos.occlum.document import Program
    from enclavize.libos.occlum.options import OcclumOptions
    from enclavize.libos.occlum.tree_builder import TreeBuilder
    from enclavize.libos.occlum.versions import Release
    from enclavize.libos.toolchain import Toolchain
    from enclavize.oci.cache import BlobCache
    from enclavize.oci.image import Image
    from enclavize.oci.image_config import ImageConfig
    from enclavize.progress import Reporter
    from enclavize.rootfs.tree import Rootfs

NO_KEY_WARNING = (
    "Occlum's own init cannot mount an encrypted root file system without builtin-image-key: give --init-ra, "
    "or a toolchain whose init gets the key by remote attestation"
)
ARGUMENTS_WARNING = (
    "with Occlum the host chooses the arguments of the program, and gives resolv.conf, hosts and hostname"
)

_REQUIRED_DIRECTORIES = (b"dev", b"etc", b"proc", b"root", b"tmp")


class OcclumBackend:
    """Makes instances for the Occlum of a toolchain. Layers are read from ``cache``."""

    name = "occlum"
    keeps_layers = False

    def __init__(self, toolchain: Toolchain, cache: BlobCache, table: Mapping[str, Any]) -> None:
        """Take the toolchain and the table ``[occlum]``, whose key is read.

        Raises UsageError for a version that instances cannot be made for, and for what is not a table's.
        """
        self._toolchain, self._cache = toolchain, cache
        self._release = parse_release(toolchain.version)
        self._asked = parse_table(table)
        self.version = str(self._release)

    @cached_property
    def profile(self) -> Profile:
        """What the LibOS can run, with the files of the toolchain."""
        return profile_of(self._toolchain)

    def fingerprint(self) -> str:
        """Return a digest of the toolchain, the image key, and the configuration of an init that gets it."""
        key, asked = self._asked.image_key, self._asked.init_ra
        parts = (self._toolchain.digest.encode(), key.key if key else b"", asked.text if asked else b"")
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()

    def shared_files(self) -> tuple[InstanceFile, ...]:
        """Return the PAL. Raises UsageError if the toolchain has none."""
        return toolchain_files(self._toolchain, self._asked.mode)

    def instance(
        self, rootfs: Rootfs, image: Image, options: InstanceOptions, workdir: Path, reporter: Reporter
    ) -> Instance:
        """Make the instance. Raises EnclavizeError for what the image or the options cannot have."""
        with_host_network(options.policy, "Occlum")
        for volume in options.policy.volumes:
            check_volume(volume.path, LINKS)
        mode = self._asked.mode
        program = find_program(rootfs, image.config, self._release)
        libraries = self._libraries(rootfs, image, program)
        configuration = self._configuration(image, program, options, glibc=CLibrary.GLIBC in libraries)
        mounts = configuration.document["mount"]
        check_directories(sources := sorted(source_directories(mounts, LINKS)))
        init = self._init(release=self._release)
        start = _bound_start(rootfs, image.config, program)
        init.put(START, data_file(start.to_bytes()))
        with reporter.task(f"plan the file system of {self._toolchain.title}") as task:
            for warning in _warnings(image, self._asked, self._release):
                task.warn(warning)
            file = rootfs.find(program.path)
            for warning in capacity_warnings(
                configuration,
                len(rootfs.entries),
                started=file.size if file else 0,
                setting="--set kernel-heap={}M",
            ):
                task.warn(warning)
            tree = ImageTree(rootfs, image, task.warn)
            lay_over(tree.builder, self._toolchain, libraries)
            targets = (mount["target"] for mount in mounts)
            for directory in (*_REQUIRED_DIRECTORIES, *map(path_bytes, (*targets, *image.config.volumes))):
                tree.builder.directory(directory.strip(b"/"))
            found = list(target_problems(tree.builder, configuration))
            if self._asked.init_ra:
                found += init_ra.folder_problems(tree.builder, self._asked.init_ra.files)
            if found:
                raise refusal(found)
            root = tree.root()
        folder = workdir / layout.BUILD
        folder.mkdir()
        built = build(
            folder,
            configuration,
            self._toolchain,
            mode=mode,
            root=root,
            init=init,
            stream=tree.contents(self._cache, reporter),
            key=self._asked.image_key,
        )
        return Instance(
            libos=self.name,
            libos_version=self.version,
            shared_files=self.shared_files(),
            files=tuple(_files(folder, configuration, mode)),
            enclave=SdkEnclave(path=ENCLAVE_PATH, image=built.enclave, config=built.config),
            policy=policy_of(configuration.document),
            argv=(*program.entrypoint, *program.command),
            writable_directories=tuple(sorted(WRITABLE_DIRECTORIES)),
            links=LINKS,
            mount_files=tuple(sorted(MOUNT_FILES)),
            mount_directories=tuple(sources),
            keeps_layers=self.keeps_layers,
            start=occlum_start(start, debug=options.debuggable),
            doubts=(*mode_doubts(mode), *key_doubts(self._asked.image_key)),
            simulation=mode is SgxMode.SIMULATION,
        )

    def _configuration(
        self, image: Image, program: Program, options: InstanceOptions, *, glibc: bool
    ) -> Configuration:
        document = make_document(self._release, image.config, program, options, glibc=glibc)
        document = within_given_heap(with_table(document, self._asked.changes), self._asked.changes)
        configuration = check_configuration(document, self._release, edmm=self._asked.edmm)
        wanted = {f"{INSTANCE}/{path}" for path in run_directories(configuration.document)}
        if foreign := sorted(wanted - WRITABLE_DIRECTORIES):
            raise UsageError(
                f"[occlum] mount: a TEE image has no {foreign[0]} to write to",
                hint="the root file system can be written to, or mount a ramfs",
            )
        return configuration

    def _init(self, *, release: Release) -> TreeBuilder:
        """Return the init file system. Raises UsageError for a toolchain that lacks files of it."""
        init = init_tree(self._toolchain)
        if self._asked.init_ra:
            init_ra.require_release(release)
            init_ra.put_init(init, self._toolchain)
            init_ra.put_configuration(init, self._asked.init_ra.text)
        return init

    def _libraries(self, rootfs: Rootfs, image: Image, program: Program) -> tuple[CLibrary, ...]:
        """Return the C libraries to lay over: the program's, and of the others those that there are."""
        environment = dict(item.partition("=")[::2] for item in image.config.env)
        found = find_files(rootfs, program.path, "/", environment).executable
        own = wanted_by([found.elf.interpreter] if found is not None and found.elf is not None else [])
        wanted = wanted_by(entry.elf.interpreter for entry in rootfs.entries.elf_files() if entry.elf)
        there = provided_by(self._toolchain)
        return tuple(library for library in wanted if library in own or library in there)


def _bound_start(rootfs: Rootfs, config: ImageConfig, program: Program) -> BoundStart:
    """Return what engines are told. They cannot look names up: the user database is inside the enclave."""
    user = account_of(rootfs, config).user
    asked = stop_signal_of(config)
    return BoundStart(
        entrypoint=program.entrypoint,
        command=program.command,
        user=f"{user.uid}:{user.gid}" if config.user else "",
        stop_signal=int(asked if asked == signal.SIGKILL else signal.SIGTERM),
    )


def _warnings(image: Image, asked: OcclumOptions, release: Release) -> Iterator[str]:
    yield ARGUMENTS_WARNING
    if asked.image_key and not asked.image_key.built_in and not asked.init_ra:
        yield NO_KEY_WARNING
    if asked.init_ra and not asked.init_ra.verifies:
        yield init_ra.NOT_VERIFIED
    config = image.config
    if config.working_dir.strip("/"):
        yield f"programs start in / with Occlum {release}, not in {printable(config.working_dir)}"
    if config.user:
        yield f"programs run as root inside the enclave, not as {printable(config.user)}"
    if config.healthcheck:
        yield "health checks are left out: rune starts nothing beside the program"
    if stop_signal_of(config) not in (signal.SIGTERM, signal.SIGKILL):
        yield f"Occlum takes SIGTERM and SIGKILL from the host, not {printable(config.stop_signal)}"


def _files(folder: Path, configuration: Configuration, mode: SgxMode) -> Iterator[InstanceFile]:
    """Yield what goes into the image, besides the enclave and the PAL."""
    texts = {
        layout.CONFIGURATION: json.dumps(configuration.document, indent=4).encode() + b"\n",
        layout.SGX_MODE: f"{mode.value}\n".encode(),
        layout.STATUS: b"built\n",
    }
    for name, text in texts.items():
        yield _file(name, len(text), io.BytesIO, text)
    for image in (layout.ROOT_IMAGE, layout.INIT_IMAGE):
        for path in sorted((folder / image).iterdir()):
            name = f"{layout.BUILD}/{image}/{path.name}"
            yield _file(name, path.stat().st_size, path.open, "rb", mode=WRITTEN_MODE)
    for path in sorted(folder.glob(f"*{layout.PROTECTED}")):
        yield _file(f"{layout.BUILD}/{path.name}", path.stat().st_size, path.open, "rb")


def _file(
    name: str, size: int, opener: Callable[..., BinaryIO], *arguments: object, mode: int = FILE_MODE
) -> InstanceFile:
    return InstanceFile(path=f"{INSTANCE}/{name}", mode=mode, size=size, open=partial(opener, *arguments))
