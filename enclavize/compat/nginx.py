"""What nginx's configuration and command line say: how it works, and where it writes.

Source: nginx.org/en/docs: ngx_core_module, ngx_http_core_module, switches.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.tree import Rootfs

_CONFIGURATION = "/etc/nginx/nginx.conf"
_MAX_FILES = 64
_COMMENT = re.compile(r"(?:^|(?<=[\s;{}]))#.*", re.MULTILINE)
_DIRECTIVE = re.compile(r"(?<![^\s;{}])([a-z_]+)\s+[\"']?([^\s;\"']+)")
_ALONE = re.compile(r"\bmaster_process\s+off\s*;")
_KINDS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_DEFAULT_TEMPORARY = ("/var/lib/nginx", "/var/cache/nginx")
_DEFAULT_LOGS = "/var/log/nginx"
"""What Debian's, Alpine's and the official packages are compiled with."""
_BESIDE = ("/dev/", "syslog:", "memory:")


def works_alone(rootfs: Rootfs, arguments: Sequence[str]) -> bool:
    """Tell whether one process does everything: no workers are forked."""
    return bool(_ALONE.search(_said(rootfs, arguments)))


def written_paths(rootfs: Rootfs, arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the folders that it makes files or folders in before it serves, as absolute paths.

    Of those that it was compiled with, those that the image has.
    """
    said: dict[str, list[str]] = {}
    for name, value in _DIRECTIVE.findall(_said(rootfs, arguments)):
        said.setdefault(name, []).append(value)
    temporary = [value for kind in _KINDS for value in said.get(f"{kind}_temp_path", ())]
    logs = [
        posixpath.dirname(value)
        for value in (*said.get("error_log", ()), *said.get("access_log", ()))
        if not value.startswith(_BESIDE)
    ]
    defaults: list[str] = []
    if any(f"{kind}_temp_path" not in said for kind in _KINDS):
        defaults += _DEFAULT_TEMPORARY
    if "error_log" not in said or "access_log" not in said:
        defaults.append(_DEFAULT_LOGS)
    found = [path for path in defaults if rootfs.find(path) is not None]
    return tuple(dict.fromkeys([*found, *(path for path in (*temporary, *logs) if path.startswith("/"))]))


def _said(rootfs: Rootfs, arguments: Sequence[str]) -> str:
    """Return the configuration, with what it includes, and the directives of ``-g``."""
    path, directives = _CONFIGURATION, ""
    for switch, value in zip(arguments, [*arguments[1:], ""], strict=True):
        if switch == "-c":
            path = posixpath.join(posixpath.dirname(_CONFIGURATION), value)
        elif switch == "-g":
            directives += f"{value}\n"
    return directives + "\n".join(_texts(rootfs, path))


def _texts(rootfs: Rootfs, path: str) -> Iterator[str]:
    pending, seen = [path], 0
    while pending and seen < _MAX_FILES:
        for entry in _matching(rootfs, pending.pop()):
            seen += 1
            text = _COMMENT.sub("", (rootfs.content(entry) or b"").decode("utf-8", "replace"))
            yield text
            included = (value for name, value in _DIRECTIVE.findall(text) if name == "include")
            pending += [posixpath.join(posixpath.dirname(path), pattern) for pattern in included]


def _matching(rootfs: Rootfs, pattern: str) -> Iterator[Entry]:
    """Yield the files that an ``include`` means; only its last part may be a pattern here."""
    folder, name = posixpath.split(pattern)
    if not set(name) & set("*?["):
        names = [name]
    elif (place := rootfs.find(folder)) is not None:
        found = (posixpath.basename(entry.path) for entry in rootfs.children(place.path))
        names = fnmatch.filter(found, name)
    else:
        return
    for each in names:
        if (entry := rootfs.find(posixpath.join(folder, each))) is not None:
            yield entry
