"""Archives as GNU tar, bsdtar, BusyBox, umoci, Go and Python write them."""

from __future__ import annotations

import gzip
import json
import os
import stat
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

from support.odd_tars import python_archives

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from support.go import GoTar

_GNU_FORMATS = ("v7", "oldgnu", "gnu", "ustar", "posix")
_BSD_FORMATS = ("ustar", "gnutar", "pax", "restricted")


def real_archives(folder: Path, go: GoTar) -> Mapping[str, bytes]:
    """Return archives by the name of their writer and format; what a format has no room for is left out."""
    tree = folder / "tree"
    _make_tree(tree)
    found = {f"python-{number}": data for number, data in enumerate(python_archives())}
    found |= {f"go-{number}": data for number, data in enumerate(go.written())}
    for kind in _GNU_FORMATS:
        more = ("--xattrs", "--xattrs-include=*") if kind == "posix" else ()
        found[f"gnu-{kind}"] = _output(tree, "tar", f"--format={kind}", *more, "-cf", "-", ".")
    found["gnu-numeric"] = _output(tree, "tar", "--numeric-owner", "--mtime=@-5", "-cf", "-", "d", "s")
    for kind in _BSD_FORMATS:
        found[f"bsd-{kind}"] = _output(tree, "bsdtar", "--format", kind, "-cf", "-", "d", "s", "h", "p")
    found["busybox"] = _output(tree, "busybox", "tar", "-cf", "-", ".")
    found["umoci"] = _umoci(tree, folder / "layout")
    return found


def _make_tree(tree: Path) -> None:
    """Make files of all types, with long names, large owners, times before 1970 and attributes."""
    long, deep = "n" * 120, tree / ("deep/" * 30)
    deep.mkdir(parents=True)
    (tree / "d").mkdir(mode=0o1777)
    (tree / "d" / "f").write_bytes(b"d" * 700)
    (tree / "d" / long).write_bytes(b"long")
    (tree / "d" / "é").write_bytes(b"")
    (tree / "d" / "setuid").write_bytes(b"x")
    (deep / "x").write_bytes(b"deep")
    (tree / "s").symlink_to("t" * 150)
    (tree / "h").hardlink_to(tree / "d" / "f")
    (tree / "h2").hardlink_to(tree / "d" / long)
    os.mkfifo(tree / "p")
    os.utime(tree / "d" / "é", ns=(-1_500_000_000, -1_500_000_000))
    if os.geteuid() == 0:
        os.chown(tree / "d" / "setuid", 3_000_000, 4_000_000_000)
        (tree / "d" / "setuid").chmod(0o4755)
        with suppress(OSError):  # a container may not make devices
            os.mknod(tree / "c", stat.S_IFCHR | 0o600, os.makedev(1, 5))
        with suppress(OSError):  # nor does each file system have attributes
            os.setxattr(tree / "d" / "f", "user.a", b"value\0")


def _output(folder: Path, *command: str) -> bytes:
    # Both programs tell of what a format cannot hold with exit code 1 or 2, and write all else.
    return subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    ).stdout


def _umoci(tree: Path, layout: Path) -> bytes:
    """Return the layer that umoci writes."""
    for arguments in (
        ["init", "--layout", layout], ["new", "--image", f"{layout}:1"],
        ["insert", "--image", f"{layout}:1", tree, "/"],
    ):  # fmt: skip
        subprocess.run(["umoci", *arguments], check=True, capture_output=True)

    def blob(digest: str) -> bytes:
        return (layout / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()

    manifest = json.loads(blob(json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]))
    return gzip.decompress(blob(manifest["layers"][0]["digest"]))
