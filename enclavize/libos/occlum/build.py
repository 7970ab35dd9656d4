"""What ``occlum build`` makes but for the signature: images, configurations, and the enclave bound to them.

    files of the root -> MAC -> configuration -> MAC -> .builtin_config -> MRENCLAVE
    files of init     -> MAC ------^

Before 0.29.6 the root's MAC is in a configuration of its own, whose MAC is in the init file system.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from enclavize.libos.occlum import layout
from enclavize.libos.occlum.initfs import configure_init
from enclavize.libos.occlum.internal_config import (
    enclave_config,
    enclave_xml,
    image_config,
    system_configuration,
    user_configuration,
)
from enclavize.libos.occlum.section import with_mac
from enclavize.libos.occlum.sefs.keys import notation
from enclavize.libos.occlum.sefs.pack import pack
from enclavize.libos.occlum.sefs.protection import IntegrityOnly
from enclavize.libos.occlum.sefs.writer import ProtectedFileWriter
from enclavize.libos.occlum.versions import Change
from enclavize.oci.storage import storage_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from enclavize.libos.occlum.configuration import Configuration
    from enclavize.libos.occlum.sefs.pack import Packed
    from enclavize.libos.occlum.sefs.tree import TreeNode
    from enclavize.libos.occlum.sefs.writer import Readable
    from enclavize.libos.occlum.tree_builder import TreeBuilder
    from enclavize.libos.toolchain import Toolchain
    from enclavize.sgx.enclave_file import EnclaveConfig


class SgxMode(StrEnum):
    """What the enclave is for: a CPU, or simulation without any protection."""

    HARDWARE = "HW"
    SIMULATION = "SIM"

    @property
    def suffix(self) -> str:
        """What the names of its libraries have before ``.so``."""
        return "_sim" if self is SgxMode.SIMULATION else ""


@dataclass(frozen=True, kw_only=True)
class ImageKey:
    """The key of the root image. ``built_in``: init has it, and so has whoever reads the instance."""

    key: bytes = field(repr=False)
    built_in: bool = False


_NOT_ENCRYPTED = (
    "the root file system is not encrypted: corruption is detected, but whoever controls the host can change "
    "files without being noticed. Give --image-key"
)
_KEY_BUILT_IN = (
    "the image key is built into the init file system, which is not encrypted: whoever has the instance can "
    "read and change its files"
)


_FOR_SIMULATION = (
    "the enclave is for simulation, which protects nothing: whoever runs it can read and change everything. "
    "Leave out --sgx-mode SIM"
)


def mode_doubts(mode: SgxMode) -> tuple[str, ...]:
    """Return why the enclave protects nothing."""
    return (_FOR_SIMULATION,) if mode is SgxMode.SIMULATION else ()


def key_doubts(key: ImageKey | None) -> tuple[str, ...]:
    """Return why the host could read or change the files of the root image."""
    if key is None:
        return (_NOT_ENCRYPTED,)
    return (_KEY_BUILT_IN,) if key.built_in else ()


@dataclass(frozen=True, kw_only=True)
class Built:
    """An instance without its signature. ``enclave`` is the unsigned file, bound to all the rest."""

    enclave: bytes
    config: EnclaveConfig
    root: Packed
    init: Packed


def build(
    folder: Path,
    configuration: Configuration,
    toolchain: Toolchain,
    *,
    mode: SgxMode,
    root: TreeNode,
    init: TreeBuilder,
    stream: Iterable[tuple[bytes, Readable]] = (),
    key: ImageKey | None = None,
    advance: Callable[[int], None] | None = None,
) -> Built:
    """Write the content of ``build`` into a new folder: all but libraries and programs.

    ``stream`` gives contents of ``root`` in an order of its own. Raises EnclavizeError.
    """
    config = enclave_config(configuration)
    with toolchain.require(f"lib/libocclum-libos{mode.suffix}.so").open() as stream_of_enclave:
        unsigned = stream_of_enclave.read()
    with_mac(unsigned, bytes(16), configuration.release)  # to know before anything is written
    release = configuration.release
    key_text = notation(key.key) if key is not None and key.built_in else ""
    with storage_errors("write", folder):
        (folder / layout.ROOT_IMAGE).parent.mkdir(parents=True)
        (folder / layout.INIT_IMAGE).parent.mkdir()
        packed = pack(
            root,
            folder / layout.ROOT_IMAGE,
            key=None if key is None else key.key,
            records=release.sefs_records,
            stream=stream,
            advance=advance,
        )
        user_mac = None
        if not release.has(Change.ONE_CONFIGURATION):
            text = user_configuration(configuration, packed.root_mac)
            user_mac = _protect(folder, layout.USER_CONFIGURATION, text)
        init_config = image_config(
            release, encrypted=key is not None, configuration_mac=user_mac, key=key_text
        )
        configure_init(init, init_config, key_text if release.has(Change.IMAGE_TYPE) else "")
        init_packed = pack(init.root(), folder / layout.INIT_IMAGE, records=release.sefs_records)
        mac = _protect(
            folder,
            layout.SYSTEM_CONFIGURATION,
            system_configuration(configuration, init_packed.root_mac, packed.root_mac),
        )
        (folder / layout.ROOT_MAC).write_text(notation(packed.root_mac) + "\n")
        (folder / layout.INIT_MAC).write_text(notation(init_packed.root_mac) + "\n")
        (folder / layout.ENCLAVE_XML).write_bytes(enclave_xml(configuration))
        if not key_text or release.has(Change.IMAGE_TYPE):
            (folder / layout.IMAGE_CONFIG).write_bytes(init_config)
    return Built(enclave=with_mac(unsigned, mac, release), config=config, root=packed, init=init_packed)


def _protect(folder: Path, name: str, text: bytes) -> bytes:
    """Write a configuration, and the protected file of it; return the MAC of that."""
    (folder / name).write_bytes(text)
    protected = name + layout.PROTECTED
    with (folder / protected).open("xb") as output:
        return ProtectedFileWriter(IntegrityOnly()).write(
            output, protected.encode(), io.BytesIO(text), len(text)
        )
