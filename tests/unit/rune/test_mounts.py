"""Where mounts lead: through links of the image and of earlier mounts."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.errors import EnclavizeError, InvalidImageError
from enclavize.rune.mounts import check_mounts, resolve_in_root

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    root = tmp_path / "rootfs"
    (root / ".enclave" / "instance").mkdir(parents=True)
    (root / "data").mkdir()
    (root / "link").symlink_to("/.enclave")
    (root / "up").symlink_to("../../..")
    (root / "volume").symlink_to("data")
    return root


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return the folder of a volume."""
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def _bind(destination: str, source: Path | str = "/tmp") -> dict[str, Any]:
    return {"destination": destination, "type": "bind", "source": str(source), "options": ["rbind", "rw"]}


def _check(rootfs: Path, *mounts: dict[str, Any]) -> None:
    check_mounts(mounts, rootfs, rootfs.parent)


@pytest.mark.parametrize(
    "destination",
    [
        "/", ".", "/x/..", "/.enclave", "/.enclave/", ".enclave", "//.enclave/instance",
        "/.enclave/bin/runelet", "/x/../.enclave", "/link", "/link/bin", "/link/..", "/up", "/up/.enclave",
    ],
)  # fmt: skip
def test_a_mount_over_the_enclave_is_refused(rootfs: Path, destination: str) -> None:
    with pytest.raises(EnclavizeError, match=r"cover|goes up"):
        _check(rootfs, _bind(destination))


@pytest.mark.parametrize("destination", ["/.enclave-data", "/data", "/volume", "/new/folder", "/up/data"])
def test_other_mounts_pass(rootfs: Path, destination: str) -> None:
    _check(rootfs, _bind(destination))


@pytest.mark.parametrize("mounted", ["/data", "/volume", "/data/", "data", "/x/../data", "/new"])
@pytest.mark.parametrize(
    "target", ["/.enclave", "../.enclave", "../../.enclave/instance", "/", "..", "other", "/link"]
)
def test_a_link_of_a_volume_leads_nowhere_near_the_enclave(
    rootfs: Path, source: Path, mounted: str, target: str
) -> None:
    (source / "x").symlink_to(target)
    (source / "other").symlink_to("/.enclave")
    below = f"{mounted.rstrip('/')}/x"
    _check(rootfs, _bind(mounted, source))
    _check(rootfs, _bind(below))  # without the volume there is no link
    with pytest.raises(EnclavizeError, match="cover"):
        _check(rootfs, _bind(mounted, source), _bind(below))


def test_a_volume_may_have_other_links_and_volumes_inside(rootfs: Path, source: Path) -> None:
    (source / "inside").mkdir()
    (source / "a").symlink_to("inside")
    _check(rootfs, _bind("/data", source), _bind("/data/inside"), _bind("/data/a/b"), _bind("/data/new"))


def test_the_last_mount_counts(rootfs: Path, source: Path, tmp_path: Path) -> None:
    (source / "x").symlink_to("/.enclave")
    (tmp_path / "empty").mkdir()
    _check(rootfs, _bind("/data", source), _bind("/data", tmp_path / "empty"), _bind("/data/x"))
    with pytest.raises(EnclavizeError, match="cover"):
        _check(rootfs, _bind("/data", tmp_path / "empty"), _bind("/data", source), _bind("/data/x"))
    # A mount on a mount on the way hides what was mounted below.
    _check(rootfs, _bind("/data/a", source), _bind("/data", tmp_path / "empty"), _bind("/data/a/x"))


def test_a_relative_source_is_the_bundles(rootfs: Path, source: Path) -> None:
    (source / "x").symlink_to("/.enclave")
    with pytest.raises(EnclavizeError, match="cover"):
        _check(rootfs, _bind("/data", "source"), _bind("/data/x"))


def test_a_bind_mount_is_known_by_its_options(rootfs: Path, source: Path) -> None:
    (source / "x").symlink_to("/.enclave")
    for kind in ("none", "", "tmpfs"):
        with pytest.raises(EnclavizeError, match="cover"):
            _check(rootfs, {**_bind("/data", source), "type": kind}, _bind("/data/x"))


def test_a_tmpfs_is_empty_unless_it_takes_the_images_files(rootfs: Path) -> None:
    (rootfs / "data" / "x").symlink_to("/.enclave")
    tmpfs = {"destination": "/data", "type": "tmpfs", "source": "tmpfs"}
    _check(rootfs, tmpfs, _bind("/data/x"))
    with pytest.raises(EnclavizeError, match="cover"):
        _check(rootfs, {**tmpfs, "options": ["nosuid", "tmpcopyup"]}, _bind("/data/x"))


@pytest.mark.parametrize(
    "name", ["self/root/.enclave", "thread-self", "1/root", "1/cwd/x", "net/dev", "mounts"]
)
def test_links_of_proc_are_not_followed(rootfs: Path, source: Path, name: str) -> None:
    proc = {"destination": "/proc", "type": "proc", "source": "proc"}
    (source / "x").symlink_to(f"/proc/{name}")
    _check(rootfs, proc, _bind("/proc/cpuinfo"))  # lxcfs
    for destination in (f"/proc/{name}", "/data/x"):
        with pytest.raises(EnclavizeError, match="/proc"):
            _check(rootfs, proc, _bind("/data", source), _bind(destination))


def test_mounts_that_engines_make_pass(rootfs: Path) -> None:
    kinds = {
        "/proc": "proc", "/dev": "tmpfs", "/dev/pts": "devpts", "/dev/shm": "tmpfs", "/dev/mqueue": "mqueue",
        "/sys": "sysfs", "/sys/fs/cgroup": "cgroup", "/sys/fs/cgroup/unified": "cgroup2",
    }  # fmt: skip
    _check(rootfs, *({"destination": path, "type": kind, "source": kind} for path, kind in kinds.items()))


def test_nobody_knows_the_links_of_another_file_system(rootfs: Path) -> None:
    disk = {"destination": "/data", "type": "ext4", "source": "/dev/sdz"}
    _check(rootfs, disk)
    with pytest.raises(EnclavizeError, match="ext4"):
        _check(rootfs, disk, _bind("/data/x"))


def test_a_path_that_goes_up_from_a_link_means_two_things(rootfs: Path) -> None:
    (rootfs / "deep").symlink_to("data/folder")
    _check(rootfs, _bind("/data/../other"))
    with pytest.raises(EnclavizeError, match="goes up"):
        _check(rootfs, _bind("/deep/../other"))


@pytest.mark.parametrize(
    "mount",
    [
        {"type": "bind"}, {"destination": 7}, {"destination": ""}, {"destination": "/a\0b"},
        {"destination": "/a", "type": 7}, {"destination": "/a", "source": ["x"]},
        {"destination": "/a", "options": "bind"}, {"destination": "/a", "type": "bind", "source": "/a\0b"},
    ],
)  # fmt: skip
def test_malformed_mounts_are_one_error(rootfs: Path, mount: dict[str, Any]) -> None:
    with pytest.raises(InvalidImageError):
        _check(rootfs, mount)


def test_links_are_followed_inside_the_root(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").symlink_to("../c/d")
    (tmp_path / "c").symlink_to("/e/../f")
    (tmp_path / "loop").symlink_to("loop")
    assert resolve_in_root(tmp_path, "/a/b/new") == PurePosixPath("/f/d/new")
    with pytest.raises(EnclavizeError, match="symbolic links"):
        resolve_in_root(tmp_path, "/loop")
