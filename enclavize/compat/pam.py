"""What PAM does when a session of a service begins. Source: pam.conf(5)."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from enclavize.rootfs.tree import Rootfs

_FOLDERS = ("/etc/pam.d", "/usr/lib/pam.d")
_MAX_FILES = 16
_HAS_TO_SUCCEED = frozenset({"required", "requisite"})


def required_in_sessions(rootfs: Rootfs, service: str) -> frozenset[str]:
    """Return the modules without which no session of a service begins, such as ``pam_limits.so``."""
    found: set[str] = set()
    pending, seen = [service], set[str]()
    while pending and len(seen) < _MAX_FILES:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        for line in _text(rootfs, name).splitlines():
            match line.partition("#")[0].split():
                case ["@include", other, *_]:
                    pending.append(other)
                case ["session", "include" | "substack", other, *_]:
                    pending.append(other)
                case ["session", control, module, *_] if control in _HAS_TO_SUCCEED:
                    found.add(posixpath.basename(module))
    return frozenset(found)


def _text(rootfs: Rootfs, name: str) -> str:
    if "/" in name:
        return ""
    for folder in _FOLDERS:
        if (entry := rootfs.find(f"{folder}/{name}")) is not None:
            return (rootfs.content(entry) or b"").decode("utf-8", "replace")
    return ""
