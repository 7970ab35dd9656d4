"""Folders of volumes that no layer has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enclavize.libos.builtin.volume_folders import with_volume_folders
from support.images import directory, file, symlink
from support.indexing import index_layers

if TYPE_CHECKING:
    from pathlib import Path

FILES = [
    directory("srv", 0o700, uid=7),
    file("bin/x"),
    symlink("way", "srv"),
    symlink("dangling", "made/here"),
    symlink("round", "round"),
]


@pytest.mark.parametrize(
    ("volumes", "made"),
    [
        ((), []),
        (("/srv", "/", "/bin/"), []),
        (("/data", "/var/lib/x", "/var/lib"), ["data", "var", "var/lib", "var/lib/x"]),
        (("relative", "/srv/../dots", "//a//b/"), ["a", "a/b", "dots", "relative"]),
        (("/way/in",), ["srv/in"]),
        (("/dangling",), ["made", "made/here"]),
        (("/round", "/round/x", "/bin/x/below", "/" + "n" * 256, "/a\0b"), []),
        (("/.enclave", "/.enclave/instance", "/.enclavex"), [".enclavex"]),
    ],
)
def test_folders_are_made_as_engines_make_them(
    tmp_path: Path, volumes: tuple[str, ...], made: list[str]
) -> None:
    rootfs = index_layers(tmp_path, [FILES])
    found = with_volume_folders(rootfs, volumes)
    assert [entry.path for entry in found.entries if rootfs.get(entry.path) is None] == made
    for path in made:
        entry = found.resolve(path)
        assert (entry.mode, entry.uid, entry.gid, entry.layer) == (0o755, 0, 0, -1)
    srv = found.resolve("srv")
    assert (srv.mode, srv.uid) == (0o700, 7)
