"""What a program reads out of an image, in the same words for every program."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from support.trees import IMPLIED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from support.trees import Node, Tree

_MAX_TIME = 1 << 32
_UMOCI_ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One program's reading; None: it does not tell. ``started`` is entrypoint and command."""

    started: tuple[str, ...]
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    env: tuple[str, ...] | None = None
    user: str | None = None
    ids: tuple[int, int] | None = None
    working_dir: str | None = None
    labels: Mapping[str, str] | None = None
    stop_signal: str | None = None
    volumes: frozenset[str] | None = None
    ports: frozenset[str] | None = None
    health: tuple[str, ...] | None = None
    layers: tuple[str, ...] | None = None
    diff_ids: tuple[str, ...] | None = None
    tree: Tree | None = None

    def differences(self, other: Reading) -> Iterator[str]:
        """Yield what two readings contradict each other in."""
        for field in fields(self):
            mine, its = getattr(self, field.name), getattr(other, field.name)
            if mine is None or its is None:
                continue
            if field.name == "tree":
                yield from _tree_differences(mine, its)
            elif field.name == "env" and _own(mine) == _own(its):
                continue
            elif mine != its:
                yield f"{field.name}: {mine!r} and {its!r}"


def _own(env: Iterable[str]) -> list[str]:
    """Leave out what umoci gives a program beside the image's own environment."""
    return [item for item in env if item not in _UMOCI_ENVIRONMENT]


def of_config(execution: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the fields of a reading out of the member ``config`` of an image, or docker's ``Config``."""
    config = execution or {}
    entrypoint, cmd = (tuple(config.get(key) or ()) for key in ("Entrypoint", "Cmd"))
    return {
        "started": entrypoint + cmd,
        "entrypoint": entrypoint,
        "cmd": cmd,
        "env": tuple(config.get("Env") or ()),
        "user": config.get("User") or "",
        "working_dir": config.get("WorkingDir") or "/",
        "labels": config.get("Labels") or {},
        "stop_signal": config.get("StopSignal") or "",
        "volumes": frozenset(config.get("Volumes") or ()),
        "ports": frozenset(config.get("ExposedPorts") or ()),
    }


def _tree_differences(mine: Tree, its: Tree) -> Iterator[str]:
    """Yield the paths in which two trees differ."""
    names = Counter(node.first for node in mine.values())
    for path in sorted(mine.keys() | its.keys()):
        left, right = mine.get(path), its.get(path)
        if left and right:
            left, right = _settled(left, right, several_names=names[left.first] > 1)
        if left != right:
            yield f"/{path}: {_shown(left)} and {_shown(right)}"


def _settled(left: Node, right: Node, *, several_names: bool) -> tuple[Node, Node]:
    """Leave out what each engine does in its own way, or what means nothing.

    That is: permissions of directories that no layer lists (docker 20.10 gives 0600) and of symbolic links
    (which have none on Linux); times of directories, of files with several names, and those beyond what
    file systems keep.
    """
    pair = (left, right)
    if all(node.is_directory for node in pair) and IMPLIED in (left.mtime, right.mtime):
        pair = (left._replace(mode="directory"), right._replace(mode="directory"))
    if all(node.link for node in pair):
        pair = (left._replace(mode="link"), right._replace(mode="link"))
    if left.is_directory or several_names or not all(0 <= node.mtime < _MAX_TIME for node in pair):
        pair = (pair[0]._replace(mtime=0), pair[1]._replace(mtime=0))
    return pair


def _shown(node: Node | None) -> str:
    return "absent" if node is None else repr(tuple(node))
