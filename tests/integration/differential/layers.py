"""Odd layers: what engines might unpack in two ways."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import zstandard

from enclavize.oci import media_types
from enclavize.oci.digest import sha256_digest
from integration.differential.gnu_tar import archive_of
from integration.differential.samples import FILES, Kind
from support.images import (
    Layer,
    build_layer,
    directory,
    file,
    hard_link,
    opaque,
    symlink,
    tar_of,
    whiteout,
)
from support.odd_tars import ODDITIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integration.differential.samples import Laboratory, Layout
    from support.images import (
        Member,
    )

END = bytes(1024)
_TAR = tar_of([file("x", "the right file\n")])


def oddity(name: str) -> Kind:
    """Return a kind with one of the archives that no writer makes."""
    return archive(name, ODDITIES[name][0] + END)


def archive(name: str, data: bytes) -> Kind:
    """Return a kind with these bytes as its upper layer."""
    return Kind(
        name=f"layer: {name}",
        writer="Python",
        make=lambda laboratory: laboratory.image_of(build_layer(laboratory.files), build_layer(data, "none")),
    )


def blob(name: str, data: bytes, plain: bytes, media_type: str) -> Kind:
    """Return a kind whose upper layer is a compressed blob."""
    layer = Layer(blob=data, media_type=media_type, diff_id=sha256_digest(plain))
    return Kind(
        name=f"layer: {name}",
        writer="Python",
        make=lambda laboratory: laboratory.image_of(build_layer(laboratory.files), layer),
    )


def merged(name: str, *layers: Sequence[Member]) -> Kind:
    """Return a kind with several layers by GNU tar."""

    def make(laboratory: Laboratory) -> Layout:
        archives = [archive_of(layer) for layer in laboratory.runnable(layers)]
        return laboratory.image_of(*(build_layer(data, "none") for data in archives))

    return Kind(name=f"layers: {name}", writer="GNU tar", make=make)


_HALVES = (_TAR[:512], _TAR[512:])

ARCHIVES = [
    oddity("pax path and GNU long name"),
    oddity("two pax headers"),
    oddity("a global header behind a pax header"),
    oddity("GNU magic and a prefix"),
    oddity("a prefix without magic"),
    oddity("a trailer of star"),
    oddity("NUL in a pax path"),
    oddity("a pax key twice"),
    oddity("two sizes"),
    oddity("a pax size with a sign"),
    oddity("a link with a size"),
    oddity("a pax header at the end"),
    archive("no end mark", _TAR.rstrip(b"\0").ljust(1024, b"\0")),
    archive("half an end mark", _TAR.rstrip(b"\0").ljust(1536, b"\0")),
    archive("a header behind half an end mark", _TAR.rstrip(b"\0").ljust(1536, b"\0") + _TAR),
    archive("garbage behind the end mark", _TAR + b"garbage" * 100),
    archive("nothing at all", b""),
    archive("a file cut short", _TAR[:515]),
    archive("a wrong checksum", _TAR[:148] + b"0000000\0" + _TAR[156:]),
    blob("garbage behind gzip", gzip.compress(_TAR) + b"garbage", _TAR, media_types.OCI_LAYER_GZIP),
    blob("gzip cut short", gzip.compress(_TAR)[:-6], _TAR, media_types.OCI_LAYER_GZIP),
    blob("two gzip members", b"".join(map(gzip.compress, _HALVES)), _TAR, media_types.OCI_LAYER_GZIP),
    blob("two zstd frames", b"".join(map(zstandard.compress, _HALVES)), _TAR, media_types.OCI_LAYER_ZSTD),
]  # fmt: skip

MERGED = [
    merged("whiteouts", FILES, [whiteout("srv/x"), file("srv/y")]),
    merged("an opaque directory", FILES, [directory("srv"), opaque("srv"), file("srv/y")]),
    merged("an opaque directory behind its news", FILES, [file("srv/y"), opaque("srv")]),
    merged("an opaque directory behind a folder of its own", FILES, [
        directory("srv"), directory("srv/d"), file("srv/d/y"), opaque("srv"),
    ]),
    merged("an opaque directory behind news in a folder without a header", FILES, [
        file("srv/d/y"), opaque("srv"),
    ]),
    merged("an opaque directory behind a hard link", FILES, [
        file("srv/z"), hard_link("srv/y", "srv/z"), opaque("srv"),
    ]),
    merged("an opaque directory through a link", [*FILES, symlink("l", "srv")], [opaque("l")]),
    merged("an opaque root behind a file", FILES, [file("y"), opaque("")]),
    merged("an opaque directory that is not there", FILES, [opaque("no/where")]),
    merged("a whiteout through a link", [*FILES, symlink("l", "srv")], [whiteout("l/x")]),
    merged("a whiteout behind a link to nothing", [*FILES, symlink("l", "no")], [whiteout("l/x")]),
    merged("a whiteout behind news inside", FILES, [file("srv/y"), whiteout("srv")]),
    merged("a whiteout behind its own file", FILES, [file("srv/x"), whiteout("srv/x")]),
    merged("a whiteout before its own file", FILES, [whiteout("srv/x"), file("srv/x", "2\n")]),
    merged("a whiteout in no directory", FILES, [whiteout("no/where")]),
    merged("a whiteout without a name", FILES, [file("srv/.wh.")]),
    merged("a whiteout of a parent", FILES, [file("srv/.wh...")]),
    merged("a whiteout that is a folder", FILES, [directory("srv/.wh.x")]),
    merged("a file below a whiteout", FILES, [file("srv/.wh.y/z")]),
    merged("AUFS' own files", FILES, [file(".wh..wh.aufs"), file(".wh..wh.plnk/1.2", "x")]),
    merged("a hard link", [*FILES, hard_link("srv/y", "srv/x")]),
    merged("a hard link to what is replaced", [file("x", "1"), hard_link("y", "x"), file("x", "2")]),
    merged("a hard link to a symbolic link", [*FILES, symlink("l", "srv/x"), hard_link("h", "l")]),
    merged("a name that climbs", FILES, [file("../x", "1")]),
    merged("a name that climbs inside", FILES, [file("srv/../y", "1")]),
    merged("an absolute name", FILES, [file("/srv/y", "1")]),
    merged("names with dots and slashes", FILES, [file("./srv//./y", "1"), directory(".")]),
    merged("the root as a file", FILES, [file(".", "1")]),
    merged("through a symbolic link", [directory("t"), symlink("l", "t")], [file("l/x", "1")]),
    merged("through a link that climbs", [directory("t"), symlink("l", "../../t")], [file("l/x", "1")]),
    merged("through an absolute link", [directory("t"), symlink("l", "/t")], [file("l/x", "1")]),
    merged("through a link in the same layer", [directory("t"), symlink("l", "t"), file("l/x", "1")]),
    merged("through a link to nothing", [symlink("l", "t/u")], [file("l/x", "1")]),
    merged("a symbolic link over a folder", FILES, [symlink("srv", "bin")]),
    merged("a folder over a link", [directory("t"), symlink("l", "t")], [directory("l"), file("l/x")]),
    merged("a file over a folder", FILES, [file("srv", "now a file")]),
    merged("below a file", FILES, [file("bin/hello/x", "1")]),
    merged("a folder twice", [directory("d", 0o700), file("d/x"), directory("d", 0o711)]),
    merged("a file twice", [file("x", "1"), file("x", "2", 0o600)]),
    merged("setuid, sticky, owners", [file("x", "1", 0o6755, uid=1000, gid=1001), directory("t", 0o1777)]),
    merged("no parents", [file("a/b/c/d", "1")]),
]  # fmt: skip


def _written(name: str, *members: Member) -> Kind:
    return Kind(
        name=f"layers: {name}",
        writer="Python",
        make=lambda laboratory: laboratory.image_of(build_layer(laboratory.files), build_layer(members)),
    )


LINKS = [
    _written("a hard link forward", hard_link("early", "late"), file("late", "1")),
    _written("a hard link to itself", hard_link("srv/x", "srv/x")),
    _written("a hard link to a folder", hard_link("d", "srv")),
    _written("a hard link that climbs", hard_link("h", "../srv/x")),
    _written("a hard link with another owner", hard_link("srv/y", "srv/x", uid=7)),
    _written("a hard link with another mode", hard_link("srv/y", "srv/x", mode=0o4755)),
    _written("a hard link with another time", hard_link("srv/y", "srv/x", mtime=5)),
]

KINDS = [*ARCHIVES, *MERGED, *LINKS]
