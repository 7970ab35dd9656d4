"""A folder as an image of one layer."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError
from enclavize.oci.fetch import fetch_blob
from enclavize.oci.location import parse_location
from enclavize.oci.resolve import resolve
from enclavize.progress import EventKind, Reporter

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.image import Image
    from enclavize.progress import Event

pytestmark = pytest.mark.integration


def make_tree(root: Path) -> Path:
    """Make a small root file system; the order of creation is not the order of names."""
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/tool").write_bytes(os.urandom(10) * 500_000)
    (root / "usr/bin/tool").chmod(0o4755)
    os.link(root / "usr/bin/tool", root / "usr/bin/alias")
    (root / "etc").mkdir(mode=0o700)
    (root / "etc/outside").symlink_to("/etc/passwd")
    (root / "etc/loop").symlink_to("..")
    (root / ("a" * 120)).mkdir()
    (root / ("a" * 120) / ("b" * 200)).write_text("long")
    (root / os.fsdecode(b"caf\xe9")).write_text("latin 1")
    os.mkfifo(root / "pipe")
    return root


def layer_of(image: Image, cache: BlobCache) -> bytes:
    """Read the one layer."""
    with fetch_blob(image, image.layers[0], cache) as stream:
        return stream.read()


def test_a_folder_becomes_one_layer_that_holds_all_of_it(
    tmp_path: Path, cache: BlobCache, reporter: Reporter
) -> None:
    root = make_tree(tmp_path / "root")
    image = resolve(parse_location(f"dir:{root}"), cache=cache, reporter=reporter)
    assert image.config.architecture == "amd64"
    assert image.config.diff_ids == (image.layers[0].digest,)
    with tarfile.open(fileobj=io.BytesIO(layer_of(image, cache)), errors="surrogateescape") as archive:
        members = {member.name: member for member in archive}
        assert list(members) == sorted(members, key=os.fsencode)
        assert archive.extractfile("usr/bin/tool").read() == (root / "usr/bin/alias").read_bytes()  # type: ignore[union-attr]
    assert members["etc"].mode == 0o700
    assert members["etc/outside"].linkname == "/etc/passwd"
    assert members["usr/bin/tool"].islnk()
    assert members["usr/bin/tool"].linkname == "usr/bin/alias"
    assert members["usr/bin/alias"].mode == 0o4755
    assert members["usr/bin/alias"].uname == ""
    assert members["usr/bin/alias"].uid == os.getuid()
    assert members["pipe"].isfifo()
    assert os.fsdecode(b"caf\xe9") in members
    assert f"{'a' * 120}/{'b' * 200}" in members


def test_the_layer_depends_on_the_content_alone(
    tmp_path: Path, cache: BlobCache, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    digests = []
    for name, order in (("one", ("x", "y", "z")), ("two", ("z", "x", "y"))):
        root = tmp_path / name
        root.mkdir()
        for entry in order:
            (root / entry).write_text(entry)
        image = resolve(parse_location(f"dir:{root}"), cache=cache, reporter=reporter)
        digests.append((image.manifest.digest, image.layers[0].digest))
    assert digests[0] == digests[1]


def test_sockets_are_left_out_with_a_warning(tmp_path: Path, cache: BlobCache) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "control"))
    events: list[Event] = []
    image = resolve(parse_location(f"dir:{root}"), cache=cache, reporter=Reporter(events.append))
    warnings = [event.message for event in events if event.kind is EventKind.WARNING]
    assert warnings == ["control is a socket and is left out"]
    assert layer_of(image, cache) == bytes(1024)


def test_extended_attributes_travel(tmp_path: Path, cache: BlobCache, reporter: Reporter) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").write_text("x")
    try:
        os.setxattr(root / "file", "user.test", b"\x01\xff")
    except OSError:
        pytest.skip("this file system has no user attributes")
    image = resolve(parse_location(f"dir:{root}"), cache=cache, reporter=reporter)
    with tarfile.open(fileobj=io.BytesIO(layer_of(image, cache))) as archive:
        value = archive.getmember("file").pax_headers["SCHILY.xattr.user.test"]
    assert value.encode("utf-8", "surrogateescape") == b"\x01\xff"


def test_a_folder_that_is_none_is_told(tmp_path: Path, cache: BlobCache, reporter: Reporter) -> None:
    with pytest.raises(EnclavizeError, match="is not a folder"):
        resolve(parse_location(f"dir:{tmp_path / 'absent'}"), cache=cache, reporter=reporter)


def test_a_folder_that_links_to_itself_outside_is_not_followed(
    tmp_path: Path, cache: BlobCache, reporter: Reporter
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_text("secret")
    (root / "escape").symlink_to(tmp_path)
    image = resolve(parse_location(f"dir:{root}"), cache=cache, reporter=reporter)
    assert b"secret" not in layer_of(image, cache)
