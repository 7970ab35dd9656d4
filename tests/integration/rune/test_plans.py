"""When a plan that rune has kept decides about a container, and when the Python part is asked again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.programs import need, need_root
from support.rune import ENTRYPOINT, read_spec, write_bundle

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.rune import RuneInstallation, UnpackedTeeImage

pytestmark = pytest.mark.integration

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
NOBODY = 65534


@dataclass(frozen=True, kw_only=True)
class Node:
    """Creates containers up to runc, which does nothing; ``asked`` counts the runs of the Python part."""

    folder: Path
    settings: Path

    @property
    def rune(self) -> Path:
        return self.folder / "bin" / "rune"

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    @property
    def rootfs(self) -> Path:
        return self.bundle / "rootfs"

    @property
    def enclave(self) -> Path:
        return self.rootfs / ".enclave"

    @property
    def store(self) -> Path:
        return self.folder / "run" / "rune" / "plans"

    @property
    def plan(self) -> Path:
        (path,) = (path for path in self.store.iterdir() if path.suffix != ".lock")
        return path

    @property
    def asked(self) -> int:
        log = self.folder / "asked"
        return len(log.read_text().split()) if log.exists() else 0

    def spec(self, **process: Any) -> None:
        """Write what an engine writes."""
        write_bundle(self.bundle, [ENTRYPOINT, "a"])
        self.change(lambda spec: spec["process"].update(process))

    def change(self, edit: Callable[[dict[str, Any]], object]) -> None:
        spec = read_spec(self.bundle)
        edit(spec)
        (self.bundle / "config.json").write_text(json.dumps(spec))

    def command(self, *options: str | Path) -> list[str | Path]:
        """Return a command line of rune, in a mount namespace with a /run of its own."""
        script = f'mount --bind {self.folder / "run"} /run && exec "$@"'
        options = options or ("--config", self.settings)
        rune = [self.rune, *options, "create", "--bundle", self.bundle, "c"]
        return ["unshare", "--mount", "sh", "-c", script, "sh", *rune]

    def create(self, *options: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Create a container, with other options or variables."""
        return subprocess.run(
            self.command(*options),
            env={"PATH": PATH, "ENCLAVIZE_RUNC": "/bin/true", "ENCLAVIZE_SIMULATE": "1", **environment},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def is_remembered(self) -> bool:
        """Create once more: whether that went without the Python part. It must succeed."""
        before = self.asked
        done = self.create()
        assert done.returncode == 0, done.stderr
        return self.asked == before


@pytest.fixture
def node(installation: RuneInstallation, image: UnpackedTeeImage, tmp_path: Path) -> Node:
    """Return a node on which the image was created once."""
    need("unshare")
    need_root()
    folder = tmp_path / "node"
    (folder / "run").mkdir(parents=True)
    (folder / "bundle").mkdir()
    image.copy(folder / "bundle" / "rootfs")
    (folder / "bundle" / "rootfs" / "link").symlink_to("folder")
    shutil.copytree(installation.rune.parent, folder / "bin")
    part = folder / "bin" / "enclavize-rune"
    note = f"open({str(folder / 'asked')!r}, 'a').write('asked\\n')\n"
    part.write_text(part.read_text().replace("import sys\n", f"import sys\n{note}"))
    part.chmod(0o755)
    settings = folder / "config.toml"
    settings.write_text('log_level = "error"\n')
    node = Node(folder=folder, settings=settings)
    node.spec()
    return node


@pytest.fixture
def known(node: Node) -> Node:
    assert not node.is_remembered()
    node.spec()
    assert node.is_remembered()
    node.spec()
    return node


def _bind(source: Path | str, destination: str) -> dict[str, object]:
    return {"destination": destination, "type": "bind", "source": str(source), "options": ["rbind"]}


def test_what_differs_between_containers_needs_no_second_look(known: Node) -> None:
    edits: list[Callable[[dict[str, Any]], object]] = [
        lambda spec: spec["process"].update(args=[ENTRYPOINT, "other", "arguments"]),
        lambda spec: spec["process"].update(args=[ENTRYPOINT]),
        lambda spec: spec["process"].update(env=["A=1", "ENCLAVIZE_SIMULATE=1", "ENCLAVIZE_ROOT=/evil"]),
        lambda spec: spec.update(annotations={"io.kubernetes.cri.sandbox-id": "7"}, hostname="other"),
        lambda spec: spec["linux"].update(cgroupsPath="/other", namespaces=[{"type": "mount"}]),
    ]
    for edit in edits:
        known.spec()
        known.change(edit)
        assert known.is_remembered()
        spec = read_spec(known.bundle)
        assert spec["process"]["env"][-2:] == ["ENCLAVIZE_LOG_LEVEL=error", "ENCLAVIZE_SIMULATE=1"]
        assert "ENCLAVIZE_ROOT=/evil" not in spec["process"]["env"]
        assert [mount["destination"] for mount in spec["mounts"][-2:]] == ["/.enclave", ENTRYPOINT]
    assert known.asked == 1


def test_it_changes_what_the_first_one_changed(node: Node) -> None:
    """But for the folder, which is part of it."""
    texts = []
    for number in range(2):
        node.spec()
        assert node.is_remembered() == (number == 1)
        texts.append((node.bundle / "config.json").read_text())
        moved = node.bundle.with_name("moved")
        node.bundle.rename(moved)
        shutil.copytree(moved, node.bundle, symlinks=True)
        shutil.rmtree(moved)
    assert texts[0] == texts[1]


def test_sources_of_volumes_may_differ(node: Node, tmp_path: Path) -> None:
    for number in range(3):
        node.spec()
        source = tmp_path / str(number)
        (source / "sub").mkdir(parents=True)
        mounts = [_bind(source, "/data"), _bind("/tmp", "/data/sub"), _bind("/tmp", "/link/x")]
        node.change(lambda spec, mounts=mounts: spec["mounts"].extend(mounts))  # type: ignore[misc]
        assert node.is_remembered() == (number > 0)


@pytest.mark.parametrize("target", ["/.enclave", "/proc", "elsewhere"])
def test_links_on_the_way_may_not(node: Node, tmp_path: Path, target: str) -> None:
    sources = [tmp_path / "one", tmp_path / "two"]
    for source in sources:
        source.mkdir()
    (sources[1] / "sub").symlink_to(target)
    for source in sources:
        node.spec()
        mounts = [_bind(source, "/data"), _bind("/tmp", "/data/sub")]
        node.change(lambda spec, mounts=mounts: spec["mounts"].extend(mounts))  # type: ignore[misc]
        done = node.create()
        refused = source == sources[1] and target == "/.enclave"
        assert done.returncode == (1 if refused else 0), done.stderr
        assert not refused or "would cover /.enclave" in done.stderr
    assert node.asked == 2


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


TAMPERINGS: dict[str, Callable[[Node], object]] = {
    "a bit of the enclave": lambda node: _flip(node.enclave / "instance" / "enclave.signed.so"),
    "a bit of the runelet": lambda node: _flip(node.enclave / "bin" / "runelet"),
    "a longer file": lambda node: _append(node.enclave / "instance" / "rootfs.erofs"),
    "a file that is missing": lambda node: (node.enclave / "instance" / "rootfs.verity").unlink(),
    "a file more": lambda node: (node.enclave / "more").write_text(""),
    "a file below a folder more": lambda node: _write_below(node.enclave / "folder" / "more"),
    "a link": lambda node: (node.enclave / "more").symlink_to("bin"),
    "a link for a file": lambda node: _link_away(node.enclave / "instance" / "rootfs.verity"),
    "a link for the folder": lambda node: _link_away(node.enclave / "instance"),
    "a pipe": lambda node: os.mkfifo(node.enclave / "more"),
    "the description": lambda node: _flip(node.enclave / "enclave.json"),
}


def _write_below(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("")


def _link_away(path: Path) -> None:
    path.rename(path.parent.parent.parent / "away")
    path.symlink_to(path.parent.parent.parent / "away")


@pytest.mark.parametrize("name", TAMPERINGS)
def test_another_content_is_refused(known: Node, name: str) -> None:
    TAMPERINGS[name](known)
    before = (known.bundle / "config.json").read_bytes()
    assert known.create().returncode == 1
    assert known.asked == 2
    assert (known.bundle / "config.json").read_bytes() == before


def test_other_permissions_are_looked_at(known: Node) -> None:
    (known.enclave / "instance" / "rootfs.erofs").chmod(0o600)
    assert not known.is_remembered()


@pytest.mark.parametrize(
    "edit",
    [
        lambda spec: spec["process"].update(args=["/bin/busybox"]),
        lambda spec: spec["process"].update(env=["ENCLAVE_RUNTIME_LOGLEVEL=debug"]),
        lambda spec: spec.update(annotations={"enclave.runtime.loglevel": "debug"}),
        lambda spec: spec["mounts"].append(_bind("/tmp", "/data")),
        lambda spec: spec["mounts"].pop(),
        lambda spec: spec["mounts"][0].update(options=["rbind"]),
    ],
)
def test_another_shape_is_looked_at(known: Node, edit: Callable[[dict[str, Any]], object]) -> None:
    known.change(edit)
    assert not known.is_remembered()
    known.spec()
    known.change(edit)
    assert known.is_remembered()
    known.spec()
    assert known.is_remembered()


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ("min_isvsvn = 65535", "security version"),
        ("allow_simulation = false", "does not allow it"),
        (f'mrsigners = ["{"00" * 32}"]', "signer"),
        ("allow_simulaton = true", "unknown key"),
    ],
)
def test_other_settings_decide_at_once(known: Node, settings: str, word: str) -> None:
    known.settings.write_text(settings)
    done = known.create()
    assert (done.returncode, word in done.stderr) == (1, True), done.stderr


def test_settings_that_others_can_write_stop_it(known: Node) -> None:
    known.settings.chmod(0o666)
    assert "others can write to it" in known.create().stderr


def test_the_choice_of_settings_counts(known: Node, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text('log_level = "error"\n')
    assert known.create("--config", other).returncode == 0
    assert known.asked == 2
    known.spec()
    done = known.create(ENCLAVIZE_SIMULATE="0")
    assert "simulation was not asked for" in done.stderr


def test_settings_that_come_into_being_count(node: Node, tmp_path: Path) -> None:
    for number in range(2):
        node.spec()
        assert node.create("--debug", HOME=str(tmp_path)).returncode == 0, number
    assert node.asked == 1
    own = tmp_path / ".config" / "rune" / "config.toml"
    own.parent.mkdir(parents=True)
    own.write_text("min_isvsvn = 65535\n")
    node.spec()
    assert "security version" in node.create("--debug", HOME=str(tmp_path)).stderr


FORGERIES: dict[str, Callable[[Node], object]] = {
    "readable by others": lambda node: node.plan.chmod(0o644),
    "writable by a group": lambda node: node.plan.chmod(0o620),
    "of another user": lambda node: os.chown(node.plan, NOBODY, NOBODY),
    "a second name": lambda node: os.link(node.plan, node.folder / "linked"),
    "a link": lambda node: _link_to_copy(node.plan),
    "cut": lambda node: node.plan.write_bytes(node.plan.read_bytes()[:-9]),
    "empty": lambda node: node.plan.write_bytes(b""),
    "another version": lambda node: _replace(node.plan, b'"version":2', b'"version":1'),
    "another release": lambda node: _replace(node.plan, b'"enclavize":"', b'"enclavize":"0'),
    "another program": lambda node: _replace(node.plan, b'"program":"', b'"program":"/x'),
    "a condition less": lambda node: _replace(node.plan, b'"devices"', b'"device"'),
    "a condition more": lambda node: _replace(node.plan, b'"holds":{', b'"holds":{"more":1,'),
    "an unknown condition": lambda node: _replace(node.plan, b'["begins"', b'["ends"'),
    "a folder of others": lambda node: node.store.chmod(0o755),
    "a folder of another user": lambda node: os.chown(node.store, NOBODY, NOBODY),
    "a folder above that others write to": lambda node: node.store.parent.chmod(0o777),
    "a folder behind a link": lambda node: _link_to_folder(node.store),
    "a device for the folder": lambda node: _pipe(node.plan),
}


def _replace(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))


def _link_to_copy(path: Path) -> None:
    copy = path.with_name("copy")
    path.rename(copy)
    path.symlink_to("copy")


def _link_to_folder(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize("name", FORGERIES)
def test_a_plan_that_another_could_have_written_does_not_count(known: Node, name: str) -> None:
    FORGERIES[name](known)
    assert not known.is_remembered()


def test_a_plan_that_can_be_read_and_not_written_costs_nothing(known: Node) -> None:
    """Where a folder is not safe nothing is kept, and nothing is lost."""
    known.store.chmod(0o755)
    for _ in range(2):
        known.spec()
        assert not known.is_remembered()


@pytest.mark.parametrize("mode", [0o700, 0o770])
def test_rootless_engines_have_a_store_of_their_own(node: Node, tmp_path: Path, mode: int) -> None:
    """Root of a user namespace, as under podman; a runtime folder that others could write to is none."""
    folder = tmp_path / "runtime"
    folder.mkdir()
    folder.chmod(mode)
    rune: list[str | Path] = [node.rune, "--simulate", "create", "-b", node.bundle, "c"]
    command = ["unshare", "--user", "--map-root-user", *rune]
    environment = {"PATH": PATH, "ENCLAVIZE_RUNC": "/bin/true", "XDG_RUNTIME_DIR": str(folder)}
    for _ in range(2):
        node.spec()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if "unshare" in done.stderr:
            pytest.skip(f"no user namespaces here: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
    assert node.asked == (1 if mode == 0o700 else 2)
    assert (folder / "rune" / "plans").is_dir() == (mode == 0o700)


def test_containers_that_start_together_ask_once(node: Node) -> None:
    def create(number: int) -> int:
        folder = node.folder / f"bundle-{number}"
        shutil.copytree(node.bundle, folder, symlinks=True)
        command = [folder if word == node.bundle else word for word in node.command()]
        environment = {"PATH": PATH, "ENCLAVIZE_RUNC": "/bin/true", "ENCLAVIZE_SIMULATE": "1"}
        return subprocess.run(command, env=environment, capture_output=True, check=False).returncode

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(create, range(8))) == {0}
    assert node.asked == 1


def test_plans_of_one_image_are_few(node: Node) -> None:
    for number in range(20):
        node.spec()
        node.change(lambda spec, number=number: spec["mounts"].append(_bind("/tmp", f"/data/{number}")))  # type: ignore[misc]
        assert not node.is_remembered()
    assert len([path for path in node.store.iterdir() if path.suffix != ".lock"]) <= 16
    assert not list(node.store.glob(".new-*"))


def test_the_store_is_bounded_and_cleaned(node: Node) -> None:
    node.store.mkdir(parents=True)
    for path in (node.store.parent, node.store):
        path.chmod(0o700)
    for number in range(1040):
        (node.store / f"{number:064x}.0").touch()
        os.utime(node.store / f"{number:064x}.0", (number, number))
    for name in (".new-1", ".new-2"):
        (node.store / name).touch()
    os.utime(node.store / ".new-1", (1, 1))
    assert not node.is_remembered()
    left = {path.name for path in node.store.iterdir()}
    assert len(left) == 1024
    assert ".new-1" not in left
    assert ".new-2" in left
    assert f"{17:064x}.0" not in left
    assert f"{1039:064x}.0" in left
    node.spec()
    assert node.is_remembered()


def test_killed_while_it_is_asked(node: Node) -> None:
    """Neither a plan nor a lock nor a process stays behind."""
    part = node.folder / "bin" / "enclavize-rune"
    part.write_text(f"#!/bin/sh\necho $$ >{node.folder}/pid\nexec sleep 60\n")
    with subprocess.Popen(
        node.command(), env={"PATH": PATH, "ENCLAVIZE_RUNC": "/bin/true"}, stdout=subprocess.DEVNULL
    ) as process:
        for _ in range(200):
            if (node.folder / "pid").exists() and (node.folder / "pid").read_text().endswith("\n"):
                break
            time.sleep(0.05)
        process.kill()
    pid = int((node.folder / "pid").read_text())
    for _ in range(200):
        if not Path(f"/proc/{pid}").exists():
            break
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()
    part.write_text("#!/bin/sh\nexit 1\n")
    assert node.create().returncode == 1
    assert not [path for path in node.store.iterdir() if path.suffix != ".lock"]
