"""The Occlum.json that a new instance begins with, and what is laid over it.

The members and values are those of etc/template/Occlum.json of each release, but for ``metadata.debuggable``,
which is false here until somebody asks, and /tmp, which is a file system of its own up to 0.23: here, as
later, it is a directory of the root.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from enclavize.libos.occlum.versions import Change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enclavize.libos.occlum.versions import Release

ROOT_IMAGE = "./build/mount/__ROOT"
ROOT_WRITTEN = "./run/mount/__ROOT"

HOST_FOLDER = {"target": "/host", "type": "hostfs", "source": "."}
"""The instance's own folder, as Occlum's template mounts it."""

_NO_ID = {"high": "0x0", "low": "0x0"}


def template(release: Release) -> dict[str, Any]:
    """Return the document of a new instance."""
    document: dict[str, Any] = {
        "resource_limits": {
            "kernel_space_heap_size": "32MB",
            "kernel_space_stack_size": "1MB",
            "user_space_size": "300MB",
            "max_num_of_threads": 32,
        },
        "process": {
            "default_stack_size": "4MB",
            "default_heap_size": "32MB",
            "default_mmap_size": "100MB",
        },
        "entry_points": ["/bin"],
        "env": {"default": ["OCCLUM=yes"], "untrusted": ["EXAMPLE"]},
        "metadata": {"product_id": 0, "version_number": 0, "debuggable": False},
        "mount": [
            {
                "target": "/",
                "type": "unionfs",
                "options": {
                    "layers": [
                        {"target": "/", "type": "sefs", "source": ROOT_IMAGE, "options": {"MAC": ""}},
                        {"target": "/", "type": "sefs", "source": ROOT_WRITTEN},
                    ]
                },
            },
            dict(HOST_FOLDER),
        ],
    }
    if release.has(Change.KSS):
        document["metadata"] |= {
            "enable_kss": False,
            "family_id": dict(_NO_ID),
            "ext_prod_id": dict(_NO_ID),
        }
    if release.has(Change.PKRU) and not release.has(Change.FEATURE):
        document["metadata"]["pkru"] = 0
        if release.has(Change.EDMM):
            document["metadata"]["amx"] = 0
    if release.has(Change.FEATURE):
        document["feature"] = {"amx": 0, "pkru": 0, "enable_edmm": False, "enable_posix_shm": False}
    if release.has(Change.THREADS_UNBOUND):
        document["feature"]["io_uring"] = 0
    if not release.has(Change.ONE_CONFIGURATION):
        document["mount"] += [
            {"target": "/proc", "type": "procfs"},
            {"target": "/dev", "type": "devfs"},
        ]
    return document


def merged(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with changes: objects member by member, all else as a whole."""
    result = copy.deepcopy(dict(document))
    for name, value in changes.items():
        old = result.get(name)
        result[name] = (
            merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else copy.deepcopy(value)
        )
    return result


def size_text(size: int) -> str:
    """Return bytes as Occlum writes them, in the largest unit that is exact."""
    for unit, factor in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size}B"
