"""What nginx's configuration and command line say: how it works, and where it writes.

Source: nginx.org/en/docs: ngx_core_module, ngx_http_core_module, switches.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.tree import Rootfs

_CONFIGURATION = "/etc/nginx/nginx.conf"
_MAX_FILES = 64
_MAX_PATTERNS = 256
_COMMENT = re.compile(r"(?:^|(?<=[\s;{}]))#.*", re.MULTILINE)
_DIRECTIVE = re.compile(r"(?<![^\s;{}])([a-z_]+)\s+[\"']?([^\s;\"']+)")
_ALONE = re.compile(r"\bmaster_process\s+off\s*;")
_KINDS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_DEFAULT_TEMPORARY = ("/var/lib/nginx", "/var/cache/nginx")
_DEFAULT_LOGS = "/var/log/nginx"
"""What Debian's, Alpine's and the official packages are compiled with."""
_BESIDE = ("/dev/", "syslog:", "memory:")


def works_alone(configuration: str) -> bool:
    """Tell whether one process does everything: no workers are forked."""
    return bool(_ALONE.search(configuration))


def written_paths(rootfs: Rootfs, configuration: str) -> tuple[str, ...]:
    """Return the folders that it makes files or folders in before it serves, as absolute paths.

    Of those that it was compiled with, those that the image has.
    """
    said: dict[str, list[str]] = {}
    for name, value in _DIRECTIVE.findall(configuration):
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


def configuration(rootfs: Rootfs, arguments: Sequence[str]) -> str:
    """Return the directives of a command line: those of ``-g`` and of the file, with what it includes.

    Of files and patterns that are more than nginx itself would bear, the first ones.
    """
    path, directives = _CONFIGURATION, ""
    for switch, value in zip(arguments, [*arguments[1:], ""], strict=True):
        if switch == "-c":
            path = posixpath.join(posixpath.dirname(_CONFIGURATION), value)
        elif switch == "-g":
            directives += f"{value}\n"
    return directives + "\n".join(_texts(rootfs, path))


def _texts(rootfs: Rootfs, path: str) -> Iterator[str]:
    """Yield the texts of a file and of what it includes, by depth: files of one depth are read together."""
    folder = posixpath.dirname(path)
    patterns, read = [path], set[str]()
    asked = 0
    while patterns and len(read) < _MAX_FILES:
        asked += len(patterns)
        matching = {entry.path: entry for pattern in patterns for entry in _matching(rootfs, pattern)}
        found = [entry for name, entry in matching.items() if name not in read][: _MAX_FILES - len(read)]
        read.update(entry.path for entry in found)
        rootfs.read_together(found)
        texts = [
            _COMMENT.sub("", (rootfs.content(entry) or b"").decode("utf-8", "replace")) for entry in found
        ]
        yield from texts
        included = (value for text in texts for name, value in _DIRECTIVE.findall(text) if name == "include")
        distinct = dict.fromkeys(posixpath.join(folder, pattern) for pattern in included)
        patterns = list(islice(distinct, max(0, _MAX_PATTERNS - asked)))


def _matching(rootfs: Rootfs, pattern: str) -> Iterator[Entry]:
    """Yield the files that an ``include`` means; only its last part may be a pattern here."""
    folder, name = posixpath.split(pattern)
    if not set(name) & set("*?["):
        names = [name]
    elif (place := rootfs.find(folder)) is not None:
        found = (posixpath.basename(entry.path) for entry in rootfs.children(place.path))
        names = fnmatch.filter(found, name)[:_MAX_FILES]
    else:
        return
    for each in names:
        if (entry := rootfs.find(posixpath.join(folder, each))) is not None:
            yield entry
