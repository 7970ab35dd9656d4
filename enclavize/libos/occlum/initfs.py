"""The init file system: what runs in the enclave before the root file system can be mounted.

Source: tools/occlum (cmd_init, gen_initfs) and tools/init of occlum/occlum. Its image is never encrypted.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from enclavize.libos.occlum import layout
from enclavize.libos.occlum.libraries import CLibrary
from enclavize.libos.occlum.tree_builder import TreeBuilder, data_file, toolchain_file

if TYPE_CHECKING:
    from enclavize.libos.toolchain import Toolchain

HOSTS = b"127.0.0.1   localhost\n"
IMAGE_CONFIG = b"etc/image_config.json"

_DIRECTORIES = (b"bin", b"dev", b"etc", b"lib", b"proc")


def init_tree(toolchain: Toolchain) -> TreeBuilder:
    """Return the init file system without what only a build knows. Raises UsageError for missing files."""
    tree = TreeBuilder()
    for directory in _DIRECTORIES:
        tree.directory(directory)
    init = toolchain.require("initfs/bin/init")
    toolchain.require(f"musl/{CLibrary.MUSL.loader}")
    tree.put(b"bin/init", toolchain_file(init))
    for file in toolchain.below("musl"):
        tree.put(b"lib/" + posixpath.basename(file.path).encode(), toolchain_file(file))
    tree.put(b"etc/hosts", data_file(HOSTS))
    return tree


def configure_init(tree: TreeBuilder, image_config: bytes, image_key: str) -> None:
    """Put into it how the root file system is to be mounted; ``image_key`` is "" if it is not built in."""
    tree.put(IMAGE_CONFIG, data_file(image_config))
    if image_key:
        tree.put(layout.IMAGE_KEY, data_file(f"{image_key}\n".encode(), 0o600))
