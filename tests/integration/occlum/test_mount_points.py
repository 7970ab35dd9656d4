"""Empty files and folders in TEE images with Occlum, on which engines mount theirs."""

from __future__ import annotations

import re
import shutil
import tarfile
from typing import TYPE_CHECKING

import pytest

from integration.occlum.test_tee_images import changed, root_files, unpacked, verify
from support.images import Member

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from integration.occlum.conftest import Converter

pytestmark = pytest.mark.integration

HOSTFS = 'mount = [{target = "/inside", type = "hostfs", source = "/outside/deep"}]'


def permissions(path: Path) -> str:
    return f"{path.stat().st_mode & 0o777:o}"


def test_what_a_hostfs_is_mounted_from_is_there(
    converter: Converter, make: Callable[..., str], tmp_path: Path
) -> None:
    settings = converter.command.base / "options.toml"
    settings.write_text(f"[occlum]\n{HOSTFS}\n")
    name = converter.build(make(), "tee", "--volume", "/srv/shared:exec", "--config", settings)
    tree = unpacked(name, tmp_path / "tree")
    for path in ("srv/shared", "outside/deep"):
        assert not list((tree / path).iterdir())
        assert permissions(tree / path) == "777"
    assert not (tree / "inside").exists()
    assert re.search(r"trusted +true", verify(converter, name))
    root = root_files(name, tmp_path / "again")
    assert all((root / path).is_dir() for path in ("srv/shared", "inside"))


def test_a_link_of_the_images_own_is_followed_inside_only(
    converter: Converter, make: Callable[..., str], tmp_path: Path
) -> None:
    name = converter.build(make(), "tee", "--volume", "/lib/shared:exec")
    assert (unpacked(name, tmp_path / "tree") / "lib" / "shared").is_dir()
    assert (root_files(name, tmp_path / "again") / "usr" / "lib" / "shared").is_dir()


def test_folders_of_the_images_volumes_are_in_the_root(
    converter: Converter, make: Callable[..., str], tmp_path: Path
) -> None:
    name = converter.build(make(Volumes={"/var/lib/new": {}, "/data/": {}}), "tee")
    assert (root_files(name, tmp_path) / "var" / "lib" / "new").is_dir()
    assert re.search(r"trusted +true", verify(converter, name))
    said = converter.build(make(Volumes={"/data/large": {}}), "other", code=3)
    assert "/data/large of the image is a file; Occlum needs a directory there" in said


OTHERS = (
    Member(path="etc/hosts", data=b"10.0.0.1 bank\n", mtime=0, mode=0o444),
    Member(path="etc/hosts", mtime=0, mode=0o666),
    Member(path="etc/hosts", type=tarfile.SYMTYPE, link="/srv/shared/hosts", mtime=0, mode=0o777),
    Member(path="etc/hosts", mtime=0, mode=0o444, uid=1000),
    Member(path="srv/shared", type=tarfile.DIRTYPE, mtime=0, mode=0o755),
    Member(path="srv/shared", mtime=0, mode=0o444),
    Member(path="srv", type=tarfile.DIRTYPE, mtime=0, mode=0o777),
)


def test_others_than_a_build_makes_are_found(
    converter: Converter, make: Callable[..., str], tmp_path: Path
) -> None:
    name = converter.build(make(), "tee", "--volume", "/srv/shared:exec")
    for number, member in enumerate(OTHERS):
        copy = shutil.copytree(name.removeprefix("oci:"), tmp_path / str(number))
        changed(f"oci:{copy}", "", None, [member], without=member.path)
        said = verify(converter, f"oci:{copy}", code=1)
        assert "ERROR" in said, member
        assert "Traceback" not in said, member


def test_images_of_older_builds_have_none_and_others_have_all(
    converter: Converter, make: Callable[..., str], tmp_path: Path
) -> None:
    name = converter.build(make(), "tee", "--volume", "/shared:exec")
    for number, without in enumerate([("etc", "shared"), ("etc",), ("shared",), ("etc/hosts",)]):
        copy = shutil.copytree(name.removeprefix("oci:"), tmp_path / str(number))
        for path in without:
            changed(f"oci:{copy}", "", None, [], without=path)
        if number == 0:
            assert re.search(r"trusted +true", verify(converter, f"oci:{copy}"))
        else:
            assert "on which engines mount" in verify(converter, f"oci:{copy}", code=1)
