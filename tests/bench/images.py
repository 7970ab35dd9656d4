"""Real images of about 500 MB, of three layers and of one, filled from this machine's own /usr."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.index_bench import layout_of

if TYPE_CHECKING:
    from collections.abc import Sequence

LAYERS = (("usr/bin", 130_000_000), ("usr/lib", 340_000_000), ("usr/share", 20_000_000))
COMMAND = ("/usr/bin/busybox", "true")


@dataclass(frozen=True, kw_only=True)
class LargeImage:
    """A layout with one image, and the bytes of its layers when they are uncompressed."""

    layout: Path
    size: int


def large_image(base: Path) -> LargeImage:
    """Make the image of three layers in ``base``, unless it is there."""
    return _image(base / "large", [(layer,) for layer in LAYERS])


def large_layer(base: Path) -> LargeImage:
    """Make the image of the same files in one layer, unless it is there."""
    return _image(base / "large-layer", [LAYERS])


def _image(folder: Path, contents: Sequence[Sequence[tuple[str, int]]]) -> LargeImage:
    size_file = folder / "size"
    if not size_file.exists():
        folder.mkdir(parents=True)
        layers = [_layer(folder / f"{number}.tar.gz", tops) for number, tops in enumerate(contents)]
        size_file.write_text(str(layout_of(layers, folder, COMMAND)[1]))
        for layer in layers:
            layer.unlink()
    return LargeImage(layout=folder / "layout", size=int(size_file.read_text()))


def _layer(path: Path, tops: Sequence[tuple[str, int]]) -> Path:
    # Piped, not held: a child's peak memory begins with its parent's.
    names = path.with_suffix(".names")
    names.write_text("".join(f"{name}\0" for top, limit in tops for name in _pick(Path("/", top), limit)))
    with (
        path.open("wb") as output,
        subprocess.Popen(
            ["tar", "-C", "/", "--null", "-T", names, "-cf", "-"], stdout=subprocess.PIPE
        ) as archive,
    ):
        subprocess.run(["gzip", "-6"], stdin=archive.stdout, stdout=output, check=True)
    return path


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
