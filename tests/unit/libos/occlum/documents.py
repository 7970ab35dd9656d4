"""Occlum.json of several releases, with the members that Occlum's own templates have."""

from __future__ import annotations

import copy
from typing import Any

from enclavize.libos.occlum.versions import Change, parse_release


def document(version: str = "0.31.0") -> dict[str, Any]:
    """Return an Occlum.json that a release takes."""
    release = parse_release(version)
    metadata: dict[str, Any] = {"product_id": 7, "version_number": 3, "debuggable": False}
    if release.has(Change.KSS):
        zero = {"high": "0x0", "low": "0x0"}
        metadata |= {"enable_kss": False, "family_id": zero, "ext_prod_id": copy.copy(zero)}
    mounts: list[dict[str, Any]] = [
        {
            "target": "/",
            "type": "unionfs",
            "options": {
                "layers": [
                    {
                        "target": "/",
                        "type": "sefs",
                        "source": "./build/mount/__ROOT",
                        "options": {"MAC": ""},
                    },
                    {"target": "/", "type": "sefs", "source": "./run/mount/__ROOT"},
                ]
            },
        },
        {"target": "/host", "type": "hostfs", "source": "."},
    ]
    made: dict[str, Any] = {
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
        "metadata": metadata,
        "mount": mounts,
    }
    if release.has(Change.FEATURE):
        made["feature"] = {"amx": 0, "pkru": 0, "enable_edmm": False, "enable_posix_shm": False}
    return made
