"""Containers with a PAL of others are created from plans, too, as long as everything is as it was."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from support.occlum_image import digest_of, pal_list
from support.programs import need, need_root
from support.rune import RuneInstallation, read_spec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.occlum_image import OcclumImage

pytestmark = pytest.mark.integration

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
NOBODY = 65534


@dataclass(frozen=True, kw_only=True)
class Node:
    """Creates containers up to runc, which does nothing; ``asked`` counts the runs of the Python part."""

    folder: Path
    image: OcclumImage

    @property
    def asked(self) -> int:
        log = self.folder / "asked"
        return len(log.read_text().split()) if log.exists() else 0

    @property
    def copies(self) -> Path:
        """The folder that is mounted on /.rune."""
        (found,) = (path for path in (self.folder / "copies").iterdir() if path.is_dir())
        return found

    def bundle(self, change: Callable[[dict[str, Any]], object] = lambda _: None) -> Path:
        """Write what an engine writes, with a root file system of its own.

        It is that of an image of earlier releases, without the files that rune brings then.
        """
        number = len(list(self.folder.glob("bundle-*")))
        bundle = self.image.bundle(self.folder / f"bundle-{number}", "exit", "3")
        for name in ("hosts", "hostname", "resolv.conf"):
            (bundle / "rootfs" / "etc" / name).unlink()
        spec = read_spec(bundle)
        change(spec)
        (bundle / "config.json").write_text(json.dumps(spec))
        return bundle

    def create(self, bundle: Path, runc: str = "/bin/true") -> subprocess.CompletedProcess[str]:
        script = f'mount --bind {self.folder / "run"} /run && exec "$@"'
        rune: list[str | Path] = [self.folder / "bin" / "rune", "--config", self.folder / "config.toml"]
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", *rune, "create", "--bundle", bundle, "c"],
            env={"PATH": PATH, "ENCLAVIZE_RUNC": runc, "ENCLAVIZE_SIMULATE": "1"},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def is_remembered(self, bundle: Path) -> bool:
        """Create a container: whether that went without the Python part. It must succeed."""
        before = self.asked
        done = self.create(bundle)
        assert done.returncode == 0, done.stderr
        return self.asked == before


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> RuneInstallation:
    need("unshare", "runc")
    need_root()
    return RuneInstallation.create(tmp_path_factory.mktemp("rune-plans"))


def _node(built: RuneInstallation, occlum: OcclumImage, folder: Path) -> Node:
    """Return a node on which a container of the image was created once, in ``bundle-0``."""
    (folder / "run").mkdir()
    shutil.copytree(built.rune.parent, folder / "bin")
    part = folder / "bin" / "enclavize-rune"
    note = f"open({str(folder / 'asked')!r}, 'a').write('asked\\n')\n"
    part.write_text(part.read_text().replace("import sys\n", f"import sys\n{note}"))
    (folder / "occlum.toml").write_text(pal_list(occlum.pal, digest_of(occlum.pal)))
    settings = (
        "allow_simulation = true",
        f'pals = ["{folder}/occlum.toml"]',
        f'pal_copies = "{folder}/copies"',
    )
    (folder / "config.toml").write_text("\n".join(settings))
    node = Node(folder=folder, image=occlum)
    assert not node.is_remembered(node.bundle())
    return node


@pytest.fixture
def node(built: RuneInstallation, occlum: OcclumImage, tmp_path: Path) -> Node:
    """A node whose files a test may change."""
    return _node(built, occlum, tmp_path)


@pytest.fixture(scope="module")
def kept(built: RuneInstallation, occlum: OcclumImage, tmp_path_factory: pytest.TempPathFactory) -> Node:
    """A node for tests that change nothing of it: containers alone are made there."""
    return _node(built, occlum, tmp_path_factory.mktemp("pal-plans"))


def _without_paths(bundle: Path) -> str:
    return (bundle / "config.json").read_text().replace(str(bundle), "BUNDLE")


def test_what_a_plan_makes_is_what_was_decided(kept: Node) -> None:
    again = kept.bundle()
    assert kept.is_remembered(again)
    assert json.loads(_without_paths(again)) == json.loads(_without_paths(kept.folder / "bundle-0"))
    for path, mode in (("rune-pal", 0o700), ("rune-pal/status", 0o600), ("rune-pal-empty", 0o444)):
        assert (again / path).stat().st_mode & 0o777 == mode
        assert (again / path).stat().st_uid == 0
    sources = {mount["destination"]: mount["source"] for mount in read_spec(again)["mounts"]}
    assert sources["/.rune/run"] == f"{again}/rune-pal"
    assert sources["/.enclave/instance/build"] == f"{again}/rootfs/.enclave/instance/build"
    assert sources["/etc/hosts"] == f"{again}/rune-pal-empty"


HARMLESS: dict[str, Callable[[dict[str, Any]], object]] = {
    "arguments": lambda spec: spec["process"]["args"].append("more"),
    "variables": lambda spec: spec["process"]["env"].extend(["A=1", "LDX=1", "TMPDIRS=/x"]),
    "the engine's own": lambda spec: spec.update(
        hostname="other", annotations={"io.kubernetes.cri.sandbox-id": "7"}
    ),
    "a user": lambda spec: spec["process"].update(user={"uid": NOBODY, "gid": NOBODY}),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_decides_nothing_is_remembered(kept: Node, name: str) -> None:
    bundle = kept.bundle(HARMLESS[name])
    assert kept.is_remembered(bundle)
    status = (bundle / "rune-pal" / "status").stat()
    assert status.st_uid == status.st_gid == (NOBODY if name == "a user" else 0)


def _mount(spec: dict[str, Any], destination: str) -> None:
    spec["mounts"].append(
        {"destination": destination, "type": "bind", "source": "/etc/hostname", "options": ["rbind", "ro"]}
    )


OTHERS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a program": lambda spec: spec["process"].update(args=["/bin/other"]),
    "an init": lambda spec: spec["process"]["args"].insert(0, "/sbin/docker-init"),
    "a variable for the loader": lambda spec: spec["process"]["env"].append("LD_PRELOAD=/x"),
    "a variable for the library": lambda spec: spec["process"]["env"].append("TMPDIR=/x"),
    "a variable of rune": lambda spec: spec["process"]["env"].append("ENCLAVIZE_ENV_LD_PRELOAD=/x"),
    "a wish": lambda spec: spec["process"]["env"].append("ENCLAVE_TYPE=intelSgx"),
    "a wish of a pod": lambda spec: spec.update(annotations={"enclave.runtime.loglevel": "info"}),
    "a folder": lambda spec: spec["process"].update(cwd="/var/run/rune"),
    "a file of the engine": lambda spec: _mount(spec, "/etc/hostname"),
    "a mount": lambda spec: _mount(spec, "/data"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_decides_is_decided_anew(kept: Node, name: str) -> None:
    assert not kept.is_remembered(kept.bundle(OTHERS[name]))


def test_refusals_are_not_remembered_as_anything_else(kept: Node) -> None:
    for wish in ("ENCLAVE_RUNTIME_PATH=/evil.so", "ENCLAVE_RUNTIME_ARGS=/evil"):

        def ask(spec: dict[str, Any], wish: str = wish) -> None:
            spec["process"]["env"].append(wish)

        for _ in range(2):
            done = kept.create(kept.bundle(ask))
            assert (done.returncode, done.stdout) == (1, "")
            assert "evil" in done.stderr


def test_what_is_in_the_root_file_system_counts(kept: Node) -> None:
    for make, is_known in ((_file, False), (_link, True), (_file, True)):
        bundle = kept.bundle()
        (bundle / "rootfs" / "etc").mkdir(exist_ok=True)
        make(bundle / "rootfs" / "etc" / "hosts")
        assert kept.is_remembered(bundle) == is_known
        assert "/etc/hosts" not in {mount["destination"] for mount in read_spec(bundle)["mounts"]}
    assert kept.is_remembered(kept.bundle())


def _file(path: Path) -> None:
    path.write_text("")


def _link(path: Path) -> None:
    path.symlink_to("/nonexistent")


def test_the_mount_point_may_be_there_and_empty(kept: Node) -> None:
    bundle = kept.bundle()
    place = bundle / "rootfs" / ".rune"
    place.mkdir()
    assert kept.is_remembered(bundle)
    for change in (_fill, _replace_by_link):
        bundle = kept.bundle()
        change(bundle / "rootfs" / ".rune")
        done = kept.create(bundle)
        assert "is not an empty folder" in done.stderr, change


def _fill(place: Path) -> None:
    place.mkdir()
    (place / "x").touch()


def _replace_by_link(place: Path) -> None:
    place.symlink_to("bin")


COPIES: dict[str, Callable[[Path], object]] = {
    "another content": lambda copies: _write(copies / "libocclum-pal.so"),
    "a file more": lambda copies: (copies / "libmore.so").write_bytes(b"x"),
    "a file less": lambda copies: (copies / "runelet").unlink(),
    "a link": lambda copies: _link_elsewhere(copies / "runelet"),
    "another mode": lambda copies: (copies / "runelet").chmod(0o777),
    "no mount point": lambda copies: (copies / "run").rmdir(),
    "nothing": shutil.rmtree,
}


def _write(path: Path) -> None:
    path.chmod(0o755)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    path.chmod(0o555)


def _link_elsewhere(path: Path) -> None:
    path.rename(path.parents[2] / "elsewhere")
    path.symlink_to(path.parents[2] / "elsewhere")


@pytest.mark.parametrize("name", COPIES)
def test_copies_that_were_changed_are_made_again(node: Node, name: str) -> None:
    COPIES[name](node.copies)
    assert not node.is_remembered(node.bundle())
    assert node.is_remembered(node.bundle())
    assert digest_of(node.copies / "libocclum-pal.so") == digest_of(node.image.pal)


@pytest.mark.parametrize("change", [lambda path: path.chmod(0o777), lambda path: os.chown(path, 9, 9)])
def test_copies_that_others_could_change_are_refused(node: Node, change: Callable[[Path], object]) -> None:
    change(node.copies)
    done = node.create(node.bundle())
    assert done.returncode == 1
    assert "is not a folder that this user alone can write to" in done.stderr


def test_settings_and_lists_count(node: Node) -> None:
    with (node.folder / "occlum.toml").open("a") as file:
        file.write("# another text\n")
    assert not node.is_remembered(node.bundle())
    (node.folder / "config.toml").write_text("allow_simulation = true\n")
    assert "this node lists no PAL" in node.create(node.bundle()).stderr


def test_a_file_of_the_instance_counts_and_what_occlum_writes_does_not(kept: Node) -> None:
    bundle = kept.bundle()
    for folder in ("instance/run/mount/__ROOT", "instance/run/initfs/__ROOT"):
        (bundle / "rootfs" / ".enclave" / folder).mkdir(parents=True, exist_ok=True)
        (bundle / "rootfs" / ".enclave" / folder / "written").write_bytes(b"x")
    assert kept.is_remembered(bundle)
    bundle = kept.bundle()
    (bundle / "rootfs" / ".enclave" / "instance" / "run" / "more").write_bytes(b"x")
    assert kept.create(bundle).returncode == 1


def test_links_in_the_bundle_lead_nowhere(kept: Node) -> None:
    bundle = kept.bundle()
    (kept.folder / "target").mkdir()
    (bundle / "rune-pal").symlink_to(kept.folder / "target")
    done = kept.create(bundle)
    assert done.returncode == 1
    assert "cannot make the container's folder for its PAL" in done.stderr
    assert not list((kept.folder / "target").iterdir())


def test_ids_of_a_user_namespace_are_those_of_the_host(kept: Node) -> None:
    mapping = [{"containerID": 0, "hostID": 300000, "size": 10}, {"containerID": 10, "hostID": 7, "size": 5}]
    for uid, owner in ((0, 300000), (9, 300009), (12, 9), (40, 40)):

        def map_ids(spec: dict[str, Any], uid: int = uid) -> None:
            spec["linux"].update(uidMappings=mapping, gidMappings=mapping)
            spec["process"]["user"] = {"uid": uid, "gid": uid}

        bundle = kept.bundle(map_ids)
        assert kept.is_remembered(bundle)
        for path in ("rune-pal", "rune-pal/status"):
            assert ((bundle / path).stat().st_uid, (bundle / path).stat().st_gid) == (owner, owner)
    users: tuple[Any, ...] = ({"uid": -1}, {"uid": "x"}, {"gid": 1 << 33}, [])
    for user in users:

        def set_user(spec: dict[str, Any], user: Any = user) -> None:
            spec["process"]["user"] = user

        assert kept.create(kept.bundle(set_user)).returncode == 1, user
