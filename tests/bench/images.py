"""Real images of about 500 MB, of three layers and of one, filled from this machine's own /usr.

They are made once, and kept beside what tests have downloaded as long as these files are the same.
"""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.gzip_pieces import deflate_piece, join_pieces
from bench.index_bench import layout_of
from support.downloads import downloads

if TYPE_CHECKING:
    from collections.abc import Sequence

TOPS = (("/usr/bin", 130_000_000), ("/usr/lib", 340_000_000), ("/usr/share", 20_000_000))
"""Folders of which the layers are made, and how many bytes of each."""
COMMAND = ("/usr/bin/busybox", "true")
_END_OF_TAR = bytes(1024)


@dataclass(frozen=True, kw_only=True)
class LargeImage:
    """A layout with one image, and the bytes of its layers when they are uncompressed."""

    layout: Path
    size: int


def large_image() -> LargeImage:
    """Return the image of three layers."""
    return _image("three-layers")


def large_layer() -> LargeImage:
    """Return the image of the same files in one layer."""
    return _image("one-layer")


def _image(kind: str) -> LargeImage:
    folder = _images() / kind
    return LargeImage(layout=folder / "layout", size=int((folder / "size").read_text()))


@functools.cache
def _images() -> Path:
    picked = [_pick(Path(top), limit) for top, limit in TOPS]
    folder = downloads() / f"bench-images-{_state_of(picked)}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=downloads(), prefix="bench-images-") as scratch:
            made = Path(scratch) / "made"
            _make(picked, made)
            for old in downloads().glob(f"bench-images-{'?' * 32}"):
                subprocess.run(["rm", "-rf", old], check=True)
            made.rename(folder)
    return folder


def _state_of(picked: Sequence[Sequence[str]]) -> str:
    """Return what changes when the files of the image do."""
    state = hashlib.sha256()
    for names in picked:
        for name in names:
            status = Path("/", name).stat()
            state.update(f"{name} {status.st_size} {status.st_mtime_ns}\0".encode())
    return state.hexdigest()[:32]


def _make(picked: Sequence[Sequence[str]], folder: Path) -> None:
    folder.mkdir()
    pieces = []
    for number, names in enumerate(picked):
        pieces.append(folder / f"{number}.deflate")
        _archive(names, pieces[-1])
    end = folder / "end.deflate"
    with tempfile.TemporaryFile() as zeros:
        zeros.write(_END_OF_TAR)
        zeros.seek(0)
        deflate_piece(zeros, end)
    for kind, layers in (("three-layers", [[piece] for piece in pieces]), ("one-layer", [pieces])):
        (folder / kind).mkdir()
        paths = [folder / kind / f"{number}.tar.gz" for number in range(len(layers))]
        for path, parts in zip(paths, layers, strict=True):
            join_pieces([*parts, end], path)
        size = layout_of(paths, folder / kind, COMMAND)[1]
        (folder / kind / "size").write_text(str(size))
        for path in paths:
            path.unlink()
    for piece in (*pieces, end):
        piece.unlink()


def _archive(names: Sequence[str], piece: Path) -> None:
    """Deflate an archive without its end. Piped, not held: a child's memory begins with its parent's."""
    listed = piece.with_suffix(".names")
    listed.write_text("".join(f"{name}\0" for name in names))
    command = ["tar", "-C", "/", "--null", "-T", str(listed), "-b1", "-cf", "-"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as archive,
        subprocess.Popen(
            ["head", "-c", f"-{len(_END_OF_TAR)}"], stdin=archive.stdout, stdout=subprocess.PIPE
        ) as members,
    ):
        assert members.stdout is not None
        deflate_piece(members.stdout, piece)
    listed.unlink()


def _pick(top: Path, limit: int) -> list[str]:
    """Return files below ``top`` in sorted order, up to ``limit`` bytes in all."""
    picked, size = [], 0
    for folder, names, files in os.walk(top):
        names.sort()
        for name in sorted(files):
            path = Path(folder, name)
            if path.is_symlink() or not path.is_file():
                continue
            length = path.stat().st_size
            if size + length > limit:
                continue
            size += length
            picked.append(str(path)[1:])
    return picked
