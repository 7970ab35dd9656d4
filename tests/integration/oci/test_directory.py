"""A folder as an image of one layer."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError, IntegrityError, InvalidImageError, UsageError
from enclavize.oci.execution import Execution
from enclavize.oci.fetch import fetch_blob
from enclavize.oci.location import DirectoryLocation, parse_location
from enclavize.oci.resolve import resolve
from enclavize.progress import EventKind, Reporter
from enclavize.rootfs.index import index_image
from support.images import build_image, build_index, file, write_layout
from support.programs import need

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


@pytest.fixture(scope="module")
def skopeo_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a layout with an image, and an index of it and one for another machine."""
    need("skopeo")
    amd64 = build_image([[file("x", "1")], [file("y", "2")]], config={"Entrypoint": ["/x"], "User": "7:8"})
    arm64 = build_image([[file("x", "arm")]], platform=("linux", "arm64"))
    index = build_index([amd64, arm64])
    return write_layout(tmp_path_factory.mktemp("skopeo") / "layout", {"one": amd64, "all": index})


def skopeo_copy(source: str, folder: Path, *options: str) -> Path:
    command = ("skopeo", "copy", "-q", "--insecure-policy", *options, f"oci:{source}", f"dir:{folder}")
    subprocess.run(command, check=True)
    return folder


@pytest.mark.parametrize("tag", ["one", "all --all", "one --dest-compress-format=zstd"])
def test_what_skopeo_calls_a_folder_is_an_image(
    tmp_path: Path, cache: BlobCache, reporter: Reporter, skopeo_source: Path, tag: str
) -> None:
    name, *options = tag.split()
    folder = skopeo_copy(f"{skopeo_source}:{name}", tmp_path / "folder", *options)
    image = resolve(parse_location(f"dir:{folder}"), cache=cache, reporter=reporter)
    assert image.config.entrypoint == ("/x",)
    assert image.config.user == "7:8"
    rootfs = index_image(image, cache=cache, reporter=reporter)
    assert [entry.path for entry in rootfs.entries] == ["", "x", "y"]
    assert image.manifest_bytes in [path.read_bytes() for path in folder.glob("*manifest.json")]


def test_a_folder_of_skopeos_that_is_damaged_or_older_is_refused(
    tmp_path: Path, cache: BlobCache, reporter: Reporter, skopeo_source: Path
) -> None:
    folder = skopeo_copy(f"{skopeo_source}:one", tmp_path / "folder")
    location = parse_location(f"dir:{folder}")
    image = resolve(location, cache=cache, reporter=reporter)
    layer = folder / image.layers[0].digest.removeprefix("sha256:")
    data = layer.read_bytes()
    layer.write_bytes(data[:-1] + b"x")
    with pytest.raises(IntegrityError):
        index_image(resolve(location, cache=cache, reporter=reporter), cache=cache, reporter=reporter)
    layer.unlink()
    with pytest.raises(InvalidImageError, match="has no blob sha256:"):
        index_image(resolve(location, cache=cache, reporter=reporter), cache=cache, reporter=reporter)
    with pytest.raises(UsageError, match="which skopeo wrote, is an image"):
        resolve(DirectoryLocation(folder, Execution(user="7")), cache=cache, reporter=reporter)
    (folder / "version").write_text("Directory Transport Version: 1.0\n")
    with pytest.raises(InvalidImageError, match=r"another version than 1\.1: 1\.0"):
        resolve(location, cache=cache, reporter=reporter)


def test_a_layout_is_no_root_file_system(cache: BlobCache, reporter: Reporter, skopeo_source: Path) -> None:
    with pytest.raises(UsageError, match="is an image in the OCI layout") as raised:
        resolve(parse_location(f"dir:{skopeo_source}"), cache=cache, reporter=reporter)
    assert raised.value.hint == f"name it oci:{skopeo_source}"


def test_how_the_program_of_a_folder_is_run_becomes_its_configuration(
    tmp_path: Path, cache: BlobCache, reporter: Reporter
) -> None:
    root = make_tree(tmp_path / "root")
    execution = Execution(
        entrypoint=("/x", "y"), cmd=("z",), env=("A=1",), working_dir="/srv", user="7:8", ports=("80/tcp",),
        volumes=("/data",),
    )  # fmt: skip
    config = resolve(DirectoryLocation(root, execution), cache=cache, reporter=reporter).config
    assert (config.entrypoint, config.cmd, config.env) == (("/x", "y"), ("z",), ("A=1",))
    assert (config.working_dir, config.user) == ("/srv", "7:8")
    assert (config.exposed_ports, config.volumes) == (("80/tcp",), ("/data",))
    plain = resolve(DirectoryLocation(root), cache=cache, reporter=reporter)
    assert plain.config.raw["config"] == {}
