"""Unpacking without privileges, against umoci, and killed at any moment."""

from __future__ import annotations

import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from enclavize.progress import Reporter
from enclavize.rootfs.unpack import unpack_layers
from support.images import build_image, directory, file, hard_link, opaque, symlink, whiteout, write_layout
from support.indexing import cache_of, image_of
from support.sample_tree import pattern
from support.scale import scaled

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

LAYERS = [
    [
        directory("d"),
        *(file(f"d/{number}", pattern(5000, number)) for number in range(400)),
        symlink("l", "d"),
    ],
    [*(whiteout(f"d/{number}") for number in range(0, 400, 7)), hard_link("h", "d/1"), file("l/new", "n")],
    [directory("o"), file("o/x", "x")],
    [opaque("o"), file("o/y", "y")],
]

PROGRAM = """
import sys
from pathlib import Path
from enclavize.oci.cache import BlobCache
from enclavize.oci.location import parse_location
from enclavize.oci.resolve import resolve
from enclavize.progress import Reporter
from enclavize.rootfs.unpack import unpack_layers

cache = BlobCache(Path(sys.argv[2]))
image = resolve(parse_location(sys.argv[1]), cache=cache, reporter=Reporter())
unpack_layers(image, Path(sys.argv[3]), cache=cache, reporter=Reporter())
"""


def files_below(root: Path) -> dict[str, object]:
    """Return the content of files and the targets of links by path, and None for directories."""
    found: dict[str, object] = {}
    for path in root.rglob("*"):
        status = path.lstat()
        name = str(path.relative_to(root))
        if stat.S_ISLNK(status.st_mode):
            found[name] = str(path.readlink())
        elif stat.S_ISREG(status.st_mode):
            found[name] = path.read_bytes()
        else:
            found[name] = None
    return found


@pytest.mark.skipif(shutil.which("umoci") is None, reason="umoci is not installed")
@pytest.mark.skipif(os.geteuid() != 0, reason="umoci raw unpack wants root")
def test_umoci_unpacks_the_same_files(tmp_path: Path) -> None:
    image = image_of(tmp_path, LAYERS, "gzip")
    unpack_layers(image, tmp_path / "ours", cache=cache_of(tmp_path), reporter=Reporter())
    subprocess.run(
        ["umoci", "raw", "unpack", "--image", f"{tmp_path}/layout:1", tmp_path / "theirs"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    assert files_below(tmp_path / "ours") == files_below(tmp_path / "theirs")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_anybody_can_unpack(tmp_path: Path) -> None:
    image = image_of(
        tmp_path, [[directory("d", 0o000, uid=7), file("d/x", "x", 0o000, uid=8)], *LAYERS], "gzip"
    )
    nobody = 65534
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, nobody, nobody)
    for parent in tmp_path.parents[:3]:
        if parent.owner() == "root" and str(parent) != "/tmp":
            parent.chmod(parent.stat().st_mode | 0o011)
    child = os.fork()
    if not child:
        code = 1
        try:
            os.setgroups([])
            os.setresgid(nobody, nobody, nobody)
            os.setresuid(nobody, nobody, nobody)
            unpack_layers(image, tmp_path / "root", cache=cache_of(tmp_path), reporter=Reporter())
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (tmp_path / "root" / "d" / "x").stat().st_uid == nobody
    assert (tmp_path / "root" / "h").read_bytes() == pattern(5000, 1)


def test_killed_at_any_moment_leaves_whole_or_nothing(tmp_path: Path) -> None:
    layout = write_layout(tmp_path / "layout", {"1": build_image(LAYERS)})
    command = [sys.executable, "-c", PROGRAM, f"oci:{layout}:1", str(tmp_path / "cache")]
    begun = time.monotonic()
    subprocess.run([*command, tmp_path / "reference"], check=True, timeout=60)
    whole = time.monotonic() - begun
    reference = files_below(tmp_path / "reference")
    random_ = random.Random(5)
    destination = tmp_path / "out" / "root"
    for _ in range(scaled(160)):
        process = subprocess.Popen([*command, destination])
        time.sleep(random_.uniform(0.5, 1.1) * whole)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if destination.exists():
            assert files_below(destination) == reference
            shutil.rmtree(destination)
    subprocess.run([*command, destination], check=True, timeout=60)
    assert files_below(destination) == reference
    assert sorted(path.name for path in destination.parent.iterdir()) == ["root", "root.lock"]
