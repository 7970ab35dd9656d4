"""A real image of about 500 MB in three layers, filled from this machine's own /usr."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

LAYERS = (("usr/bin", 130_000_000), ("usr/lib", 340_000_000), ("usr/share", 20_000_000))


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


def large_image(base: Path) -> tuple[Path, int]:
    """Make the layout ``base/layout`` with image ``1``; return its path and the bytes of its files."""
    layout, size = base / "layout", 0
    subprocess.run(["umoci", "init", "--layout", layout], check=True)
    subprocess.run(["umoci", "new", "--image", f"{layout}:1"], check=True)
    for index, (top, limit) in enumerate(LAYERS):
        root = base / f"layer{index}"
        root.mkdir()
        names = "\0".join(_pick(Path("/", top), limit))
        # Piped, not held: a child's peak memory begins with its parent's.
        (base / "names").write_text(names)
        with subprocess.Popen(
            ["tar", "-C", "/", "--null", "-T", base / "names", "-cf", "-"], stdout=subprocess.PIPE
        ) as archive:
            subprocess.run(["tar", "-C", root, "-xf", "-"], stdin=archive.stdout, check=True)
        subprocess.run(
            ["umoci", "insert", "--image", f"{layout}:1", root / "usr", "/usr"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        size += sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
        subprocess.run(["rm", "-rf", root], check=True)
    subprocess.run(
        ["umoci", "config", "--image", f"{layout}:1", "--architecture", "amd64", "--os", "linux",
         "--config.cmd", "/usr/bin/busybox", "--config.cmd", "true"], check=True,
    )  # fmt: skip
    return layout, size
