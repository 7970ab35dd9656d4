"""Toolchains in images: only what is needed is read, and only once."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import UsageError
from support.images import build_image, directory, file, symlink, write_layout

if TYPE_CHECKING:
    from collections.abc import Callable

    from enclavize.libos.toolchain import Toolchain
    from support.images import Member

    Opened = Callable[..., Toolchain]


def members_of(folder: Path, prefix: str) -> list[Member]:
    """Return the files below ``folder`` as members of a layer."""
    members = []
    for path in sorted(folder.rglob("*")):
        name = f"{prefix}/{path.relative_to(folder)}"
        if path.is_symlink():
            members.append(symlink(name, str(path.readlink())))
        elif path.is_dir():
            members.append(directory(name))
        else:
            members.append(file(name, path.read_bytes(), mode=path.stat().st_mode & 0o777))
    return members


def host_libraries() -> list[Member]:
    """Return the libraries of a distribution that the loader of Gramine needs."""
    names = ("lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu/libc.so.6")
    return [file(name, (Path("/") / name).read_bytes(), mode=0o755) for name in names]


@pytest.fixture
def image(gramine_stand_in: Path, tmp_path: Path) -> Path:
    """Give the layout of an image with Gramine, the distribution below and a large file above."""
    layers = [
        [*host_libraries(), file("usr/lib/x86_64-linux-gnu/gramine/libsysdb.so", b"older")],
        members_of(gramine_stand_in, "usr"),
        [file("var/large", bytes(1 << 20)), symlink("opt/loop", "loop")],
    ]
    return write_layout(tmp_path / "layout", {"1": build_image(layers)})


def test_an_image_gives_what_its_files_give(opened: Opened, image: Path, gramine_stand_in: Path) -> None:
    toolchain = opened(f"oci:{image}:1", "gramine")
    folder = opened(gramine_stand_in, "gramine")
    assert not toolchain.missing
    assert {path: file.sha256 for path, file in toolchain.files.items() if not path.startswith("host/")} == {
        path: file.sha256 for path, file in folder.files.items() if not path.startswith("host/")
    }
    assert toolchain.files.keys() == folder.files.keys()
    assert toolchain.require("direct/loader").link_target == "libpal.so"
    for found in toolchain.files.values():
        with found.open() as stream:
            assert len(stream.read()) == found.size


def test_nothing_of_an_image_is_read_twice(opened: Opened, image: Path) -> None:
    first = opened(f"oci:{image}:1")
    for blob in (image / "blobs" / "sha256").iterdir():
        if tarfile.is_tarfile(blob):
            blob.unlink()
    second = opened(f"oci:{image}:1")
    assert second.digest == first.digest
    assert second.require("libsysdb.so").open().read() == first.require("libsysdb.so").open().read()


def test_only_what_is_needed_comes_into_the_cache(opened: Opened, image: Path, tmp_path: Path) -> None:
    toolchain = opened(f"oci:{image}:1")
    stored = {path.name for path in (tmp_path / "blobs" / "sha256").iterdir()}
    wanted = {found.sha256 for found in toolchain.files.values()}
    assert wanted <= stored
    assert len(stored - wanted) == 1  # the file with the version


def test_an_image_without_the_distribution_lacks_its_libraries(
    opened: Opened, gramine_stand_in: Path, tmp_path: Path
) -> None:
    layout = write_layout(
        tmp_path / "layout", {"1": build_image([members_of(gramine_stand_in, "usr/local")])}
    )
    toolchain = opened(f"oci:{layout}:1")
    assert toolchain.missing == ("host/ld-linux-x86-64.so.2", "host/libc.so.6")
    with pytest.raises(UsageError, match=r"has no host/libc\.so\.6; looked for it in"):
        toolchain.require("host/libc.so.6")


def test_occlum_is_found_in_an_image(opened: Opened, occlum_stand_in: Path, tmp_path: Path) -> None:
    layers = [
        members_of(occlum_stand_in / "toolchains" / "gcc", "usr/local/occlum"),
        [m for m in members_of(occlum_stand_in, "opt/occlum") if "/toolchains/gcc" not in m.path],
    ]
    layout = write_layout(tmp_path / "layout", {"1": build_image(layers)})
    toolchain = opened(f"oci:{layout}:1", "occlum")
    assert toolchain.title == "Occlum 0.29.7"
    assert toolchain.digest == opened(occlum_stand_in).digest


def test_an_image_without_a_libos_says_where_it_was_looked_for(opened: Opened, tmp_path: Path) -> None:
    layout = write_layout(tmp_path / "layout", {"1": build_image([[file("bin/true", b"")]])})
    with pytest.raises(UsageError, match=r"holds no Occlum; looked for .*:/opt/occlum/build/lib/libocclum"):
        opened(f"oci:{layout}:1", "occlum")


@pytest.mark.parametrize(
    ("link", "message"),
    [("libpal.so", "Too many levels"), ("/usr/lib", "is a directory, no regular file")],
)
def test_hostile_links_in_images_are_refused(
    opened: Opened, gramine_stand_in: Path, tmp_path: Path, link: str, message: str
) -> None:
    layers = [
        members_of(gramine_stand_in, "usr"),
        [symlink("usr/lib/x86_64-linux-gnu/gramine/sgx/libpal.so", link)],
    ]
    layout = write_layout(tmp_path / "layout", {"1": build_image(layers)})
    with pytest.raises(UsageError, match=message):
        opened(f"oci:{layout}:1", "gramine")
