"""What the members of a layer do to the tree below it. Their order counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.rootfs.entry import Entry

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class HardLink:
    """``path`` becomes another name of the file at ``target``, in this layer or below.

    The other fields are what the member says of that file.
    """

    path: str
    target: str
    mode: int
    uid: int
    gid: int
    xattrs: Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Whiteout:
    """``path`` of the layers below vanishes."""

    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class OpaqueWhiteout:
    """What the layers below have inside directory ``path`` vanishes."""

    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GlobalHeader:
    """A global pax header, as ``git archive`` writes one: no file, but engines make room for one at ``path``.

    They make the folder that it would be in, and remove what is there. Sources: moby, pkg/archive/diff.go,
    ``UnpackLayer``; containerd, archive/tar.go, ``applyNaive``.
    """

    path: str


Record = Entry | HardLink | Whiteout | OpaqueWhiteout | GlobalHeader
