"""TEE containers whose PAL is somebody else's: Occlum images with a trial PAL where Occlum's would be."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.resources import native_file
from support.command import Command
from support.foreign_pal import trial_pal
from support.occlum_image import digest_of, occlum_image, occlum_program, pal_list
from support.pal_node import Node
from support.programs import REPOSITORY
from support.rune import RuneInstallation, read_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from support.occlum_image import OcclumImage


pytestmark = pytest.mark.integration

EXTRA = ("allow_integrity_only = true",)


@pytest.fixture(scope="session")
def built(installation: RuneInstallation, tmp_path_factory: pytest.TempPathFactory) -> RuneInstallation:
    """Install rune with all that was built: the runelet for PALs is a native file of its own."""
    return RuneInstallation.create(tmp_path_factory.mktemp("rune-built"))


@pytest.fixture
def node(built: RuneInstallation, occlum: OcclumImage, tmp_path: Path, name: str) -> Node:
    node = Node(installation=built, folder=tmp_path, image=occlum, name=name)
    node.configure()
    return node


@pytest.fixture
def bundle(occlum: OcclumImage, tmp_path: Path) -> Callable[..., Path]:
    return lambda *arguments, **options: occlum.bundle(tmp_path / "bundle", *arguments, **options)


def _change(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    spec = read_spec(bundle)
    change(spec)
    (bundle / "config.json").write_text(json.dumps(spec))


def test_an_occlum_image_runs(node: Node, bundle: Callable[..., Path]) -> None:
    folder = bundle("exit", "7", environment=("A=b c", "LD_PRELOAD=/x.so", "OCCLUM_RELEASE_ENCLAVE=1"))
    done = node.run(folder)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (7, "")
    assert lines[0] == "init /.enclave/instance level warning"
    assert lines[-1] == "destroy"
    assert [line for line in lines if line.startswith(("path", "argument"))] == [
        "path /bin/app", "argument /bin/app", "argument exit", "argument 7",
    ]  # fmt: skip
    environment = {line.partition(" ")[2] for line in lines if line.startswith("environment ")}
    assert {"A=b c", "LD_PRELOAD=/x.so", "OCCLUM_RELEASE_ENCLAVE=1"} <= environment
    assert not any(item.startswith(("ENCLAVE_", "ENCLAVIZE_")) for item in environment)
    assert (folder / "rune-pal" / "status").read_text() == "running\n"


def test_to_change_a_bundle_twice_is_to_change_it_once(node: Node, bundle: Callable[..., Path]) -> None:
    folder = bundle("exit", "3", environment=("LD_PRELOAD=/x.so",))
    specs = []
    for _ in range(2):
        assert node.run(folder).returncode == 3
        specs.append(read_spec(folder))
    assert specs[0] == specs[1]


def test_the_container_sees_the_lists_files_and_cannot_change_them(
    node: Node, bundle: Callable[..., Path]
) -> None:
    folder = bundle("exit", "0")
    assert node.run(folder).returncode == 0
    spec = read_spec(folder)
    mounts = {mount["destination"]: mount for mount in spec["mounts"]}
    assert "ro" in mounts["/.rune"]["options"]
    assert "ro" in mounts["/.enclave"]["options"]
    copies = {path.name: path for path in (node.folder / "copies").glob("*/*")}
    assert mounts["/.rune"]["source"] == str(copies["runelet"].parent)
    assert digest_of(copies["libocclum-pal.so"]) == digest_of(node.image.pal)
    assert spec["process"]["args"][0] == "/.rune/ld-linux-x86-64.so.2"


def test_a_copy_that_was_changed_is_made_again(node: Node, bundle: Callable[..., Path]) -> None:
    folder = bundle("exit", "0")
    assert node.run(folder).returncode == 0
    (copy,) = (node.folder / "copies").glob("*/libocclum-pal.so")
    copy.chmod(0o755)
    copy.write_bytes(b"something else")
    assert node.run(folder).returncode == 0
    assert digest_of(copy) == digest_of(node.image.pal)


def test_the_copy_in_the_image_counts_only_by_its_digest(node: Node, bundle: Callable[..., Path]) -> None:
    digest = digest_of(node.image.pal)
    node.configure(listed=pal_list(None, digest))
    assert node.run(bundle("exit", "4")).returncode == 4
    other = "0" * 64
    node.configure(listed=pal_list(None, other))
    done = node.run(bundle("exit", "4"))
    assert done.returncode == 1
    assert f"the image has no file with the SHA-256 {other}" in done.stderr


def _list_problems(image: OcclumImage) -> Mapping[str, tuple[str, str]]:
    digest = digest_of(image.pal)
    good = pal_list(image.pal, digest)
    return {
        "digest": (pal_list(image.pal, "1" * 64), "not the listed one"),
        "absent": (good.replace(str(image.pal), "/nonexistent.so"), "/nonexistent.so"),
        "folder": (good.replace(str(image.pal), "/usr"), "/usr"),
        "library": ("".join(line for line in good.splitlines(True) if "libdl" not in line), "libdl.so.2"),
        "release": (pal_list(image.pal, digest, version='"0.21.0"'), "no PAL for occlum 0.29.7"),
        "mode": (pal_list(image.pal, digest, mode="hardware"), "no PAL for occlum 0.29.7 in simulation"),
        "key": (f"x = 1\n{good}", "unknown key x"),
    }


def test_what_is_wrong_with_a_list_is_in_the_engines_log(node: Node, bundle: Callable[..., Path]) -> None:
    folder = bundle("exit", "0")
    for problem, (text, reason) in _list_problems(node.image).items():
        node.configure(listed=text)
        log = node.folder / f"{problem}.json"
        done = node.rune("--log", log, "--log-format", "json", "create", "--bundle", folder, node.name)
        assert done.returncode == 1, problem
        (record,) = [json.loads(line) for line in log.read_text().splitlines()]
        assert record["level"] == "error"
        assert reason in record["msg"]
    assert not list((node.folder / "copies").glob("*/runelet"))


def test_without_a_list_nothing_of_the_image_runs(node: Node, bundle: Callable[..., Path]) -> None:
    (node.folder / "config.toml").write_text("allow_simulation = true\n")
    done = node.run(bundle("exit", "0"))
    assert done.returncode == 1
    assert "this node lists no PAL for occlum 0.29.7 (listed: none)" in done.stderr
    assert "enclavize toolchain pal" in done.stderr


def test_a_list_that_others_can_write_to_is_none(node: Node, bundle: Callable[..., Path]) -> None:
    (node.folder / "occlum.toml").chmod(0o666)
    assert "others can write to it" in node.run(bundle("exit", "0")).stderr


def test_a_path_of_the_pal_is_a_name(node: Node, bundle: Callable[..., Path]) -> None:
    for folder in ("/opt/occlum/build/lib/", "", "/run/rune/occlum_instance/build/lib/", "../../x/"):
        path = f"ENCLAVE_RUNTIME_PATH={folder}libocclum-pal.so"
        assert node.run(bundle("exit", "5", environment=(path,))).returncode == 5, path


def test_another_pal_is_refused(node: Node, bundle: Callable[..., Path]) -> None:
    for path in ("/evil.so", "evil.so", "/usr/lib/liberpal-skeleton-v3.so", "liberpal-builtin.so"):
        folder = bundle("exit", "5", environment=(f"ENCLAVE_RUNTIME_PATH={path}",))
        (folder / "rootfs" / "evil.so").write_bytes(node.image.pal.read_bytes())
        done = node.run(folder)
        assert done.returncode == 1
        assert f"enclave.runtime.path {path!r}" in done.stderr


def test_the_instance_is_the_verified_one(node: Node, bundle: Callable[..., Path]) -> None:
    for words, code in (
        ("./occlum_instance/", 0), ("/run/rune/occlum_instance", 0), ("/.enclave/instance,debug", 0),
        ("/data/instance", 1), ("..", 1), ("/", 1), ("occlum_instance other", 1),
    ):  # fmt: skip
        done = node.run(bundle("exit", "0", environment=(f"ENCLAVE_RUNTIME_ARGS={words}",)))
        assert done.returncode == code, words
        assert ("is not the verified instance" in done.stderr) == (code == 1)


def _cover(bundle: Path, destination: str) -> None:
    mount = {"destination": destination, "type": "bind", "source": "/usr", "options": ["bind", "ro"]}
    _change(bundle, lambda spec: spec["mounts"].append(mount))


def test_mounts_over_the_pal_are_refused(node: Node, bundle: Callable[..., Path]) -> None:
    for destination in ("/.rune", "/.rune/run", "/", "/link", "/.enclave/instance"):
        folder = bundle("exit", "0")
        link = folder / "rootfs" / "link"
        link.unlink(missing_ok=True)
        link.symlink_to(".rune")
        _cover(folder, destination)
        done = node.run(folder)
        assert done.returncode == 1
        assert "would cover" in done.stderr


def test_the_mount_point_is_runes(node: Node, bundle: Callable[..., Path]) -> None:
    folder = bundle("exit", "0")
    place = folder / "rootfs" / ".rune"
    place.symlink_to("bin")
    assert "is not an empty folder" in node.run(folder).stderr
    place.unlink()
    place.touch()
    assert "is not an empty folder" in node.run(folder).stderr
    place.unlink()
    place.mkdir()
    (place / "runelet").touch()
    assert "is not an empty folder" in node.run(folder).stderr


def test_runes_own_programs_are_not_for_others(node: Node, bundle: Callable[..., Path]) -> None:
    for arguments in (["/.rune/libc.so.6"], ["/.rune/ld-linux-x86-64.so.2", "/bin/sh"]):
        folder = bundle()
        spec = read_spec(folder)
        spec["process"]["args"] = arguments
        (folder / "config.json").write_text(json.dumps(spec))
        assert "which is rune's own" in node.run(folder).stderr


def test_a_changed_instance_is_refused(node: Node, bundle: Callable[..., Path]) -> None:
    folder = bundle("exit", "0")
    build = folder / "rootfs" / ".enclave" / "instance" / "build"
    for path in (build / ".Occlum_sys.json.protected", next((build / "initfs" / "__ROOT").iterdir())):
        original = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
        done = node.run(folder)
        assert done.returncode == 1, path
        path.write_bytes(original)
    (build / "lib" / "more.so").touch()
    assert "does not belong to the enclave" in node.run(folder).stderr


def test_what_the_libos_has_written_is_no_obstacle(node: Node, bundle: Callable[..., Path]) -> None:
    folder = bundle("exit", "0")
    (folder / "rootfs/.enclave/instance/run/mount/__ROOT/metadata").write_bytes(b"written before")
    assert node.run(folder).returncode == 0


def test_a_weak_root_file_system_is_told(built: RuneInstallation, tmp_path: Path, name: str) -> None:
    hardware = occlum_image(tmp_path / "hardware", occlum_program(tmp_path), mode="HW")
    node = Node(installation=built, folder=tmp_path, image=hardware, name=name)
    node.configure(listed=pal_list(hardware.pal, digest_of(hardware.pal), mode="hardware"))
    folder = hardware.bundle(tmp_path / "bundle", "exit", "0")
    assert "integrity only" in node.run(folder).stderr
    node.configure(*EXTRA, listed=pal_list(hardware.pal, digest_of(hardware.pal), mode="hardware"))
    said = node.run(folder).stderr
    assert "the enclave of this image is for SGX hardware" in said or "/dev/sgx_enclave" in said


def test_simulation_is_the_nodes_to_allow(node: Node, bundle: Callable[..., Path]) -> None:
    text = (node.folder / "config.toml").read_text()
    for allowed in ("", "allow_simulation = false"):
        (node.folder / "config.toml").write_text(text.replace("allow_simulation = true", allowed))
        assert node.run(bundle("exit", "0")).returncode == 1


def test_a_failing_pal_ends_its_container(node: Node, bundle: Callable[..., Path]) -> None:
    for words, code, reason in (
        ("result=init:-2", 125, "pal_init of the PAL has failed"),
        ("crash=exec", 139, "crashed in pal_exec"),
    ):
        done = node.run(bundle("exit", "0", environment=(f"TRIAL_WORDS={words}",)))
        assert done.returncode == code
        assert reason in done.stderr


def test_copies_of_equal_lists_are_shared(node: Node, bundle: Callable[..., Path]) -> None:
    assert node.run(bundle("exit", "0")).returncode == 0
    moved = node.folder / "moved.so"
    shutil.copy(node.image.pal, moved)
    node.configure(listed=pal_list(moved, hashlib.sha256(moved.read_bytes()).hexdigest()))
    assert node.run(bundle("exit", "0")).returncode == 0
    assert len(list((node.folder / "copies").glob("*/runelet"))) == 1


@pytest.fixture(scope="session")
def pals(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Compile PALs of other versions than the image's."""
    folder = tmp_path_factory.mktemp("pals")

    def make(version: int) -> Path:
        path = folder / f"{version}.so"
        return path if path.exists() else trial_pal(path, version, "-DWAIT_STATUS")

    return make


@dataclass(frozen=True, kw_only=True)
class Started:
    """A container that was created, and has to be deleted."""

    node: Node
    bundle: Path
    output: Path

    def start(self, *options: str | Path) -> subprocess.CompletedProcess[str]:
        return self.node.rune(*options, "start", self.node.name)

    def state(self) -> str:
        return str(json.loads(self.node.rune("state", self.node.name).stdout)["status"])


@pytest.fixture
def create(node: Node, bundle: Callable[..., Path]) -> Iterator[Callable[..., Started]]:
    def make(*arguments: str, environment: tuple[str, ...] = ()) -> Started:
        folder = bundle(*arguments, environment=environment)
        output = node.folder / "output"
        with output.open("wb") as file:
            done = subprocess.run(
                [
                    node.installation.rune, f"--config={node.folder / 'config.toml'}",
                    f"--root={node.folder / 'state'}", "create", "--bundle", folder, node.name,
                ],
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False, timeout=60,
            )  # fmt: skip
        assert done.returncode == 0, output.read_text()
        return Started(node=node, bundle=folder, output=output)

    yield make
    node.rune("delete", "--force", node.name)


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_start_returns_when_the_enclave_runs(create: Callable[..., Started]) -> None:
    container = create("signal")
    done = container.start()
    assert (done.returncode, done.stderr) == (0, "")
    assert (container.bundle / "rune-pal" / "status").read_text() == "running\n"
    assert container.state() == "running"
    refused = container.node.rune("exec", container.node.name, "/bin/app")
    assert refused.returncode == 255
    assert "no command can be run in this TEE container" in refused.stderr
    assert container.node.rune("kill", container.node.name, "TERM").returncode == 0
    _wait_for(lambda: container.state() == "stopped")
    assert container.output.read_text().endswith("kill -1 15\ndestroy\n")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("result=init:-2", "pal_init of the PAL has failed: -2 (No such file or directory)"),
        ("crash=create", "the PAL has crashed in pal_create_process: SIGSEGV"),
    ],
)
def test_start_fails_with_the_cause(create: Callable[..., Started], words: str, reason: str) -> None:
    container = create("exit", "0", environment=(f"TRIAL_WORDS={words}",))
    log = container.node.folder / "log.json"
    done = container.start("--log", log, "--log-format", "json")
    assert done.returncode == 1
    assert f"the enclave has not started: {reason}" in done.stderr
    (record,) = [json.loads(line) for line in log.read_text().splitlines()]
    assert reason in record["msg"]


def test_what_a_container_says_does_not_reach_a_terminal_as_it_is(create: Callable[..., Started]) -> None:
    container = create("signal", environment=("TRIAL_WORDS=hang=init",))
    (container.bundle / "rune-pal" / "status").write_bytes(b'failed \x1b[31m"red\\\r')
    done = container.start("--log", container.node.folder / "log.json", "--log-format", "json")
    assert done.returncode == 1
    assert "\x1b" not in done.stderr
    assert json.loads((container.node.folder / "log.json").read_text())["level"] == "error"


def test_a_status_that_is_none_is_not_waited_for(create: Callable[..., Started]) -> None:
    container = create("exit", "0")
    status = container.bundle / "rune-pal" / "status"
    status.unlink()
    status.symlink_to("/etc/passwd")
    assert container.start().returncode == 0


@pytest.mark.parametrize("version", [2, 3])
def test_reports_of_a_running_enclave(
    node: Node, pals: Callable[[int], Path], create: Callable[..., Started], version: int
) -> None:
    node.configure(listed=pal_list(pals(version), digest_of(pals(version))))
    container = create("signal")
    assert "the enclave does not run" in node.rune("attest", node.name).stderr or version < 3
    assert container.start().returncode == 0
    target, report = node.folder / "target", node.folder / "report"
    target.write_bytes(b"T" * 512)
    done = node.rune("attest", "--target-info", target, "--report-file", report, node.name)
    if version < 3:
        assert done.returncode == 1
        assert "a version of the PAL API before 3" in done.stderr
        assert not report.exists()
        return
    assert (done.returncode, done.stderr) == (0, "")
    assert report.read_bytes() == b"T" * 32 + b"R" * 400
    target.write_bytes(b"T" * 511)
    assert "which has 512 bytes" in node.rune("attest", "--target-info", target, node.name).stderr
    assert "no such container" in node.rune("attest", "nobody").stderr


def test_a_report_is_not_asked_of_another_socket(node: Node, create: Callable[..., Started]) -> None:
    container = create("signal")
    assert container.start().returncode == 0
    place = container.bundle / "rune-pal" / "pal.sock"
    place.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
        other.bind(str(node.folder / "other.sock"))
        other.listen()
        place.symlink_to(node.folder / "other.sock")
        done = node.rune("attest", node.name)
        other.settimeout(0.1)
        with pytest.raises(TimeoutError):
            other.accept()
    assert done.returncode == 1
    assert "the enclave does not run" in done.stderr


@pytest.mark.parametrize("version", [1, 3])
def test_other_versions_of_the_api_run_too(
    node: Node, pals: Callable[[int], Path], bundle: Callable[..., Path], version: int
) -> None:
    node.configure(listed=pal_list(pals(version), digest_of(pals(version))))
    assert node.run(bundle("exit", "9")).returncode == 9


def test_the_list_that_is_written_for_an_installation_works(
    node: Node, occlum: OcclumImage, bundle: Callable[..., Path], tmp_path: Path
) -> None:
    command = Command(base=tmp_path, native=native_file("runelet-pal").parent)
    written = command.run("toolchain", "pal", occlum.toolchain, "--simulation").stdout
    node.configure(listed=written)
    assert node.run(bundle("exit", "6")).returncode == 6
    with_library = command.run(
        "toolchain", "pal", occlum.toolchain, "--simulation", "--library", "/lib/x86_64-linux-gnu/libm.so.6"
    ).stdout
    assert '"libm.so.6" = { path = "/' in with_library
    node.configure(listed=with_library)
    assert node.run(bundle("exit", "6")).returncode == 6
    said = command.run("toolchain", "pal", tmp_path / "copies", code=2).stderr
    assert "has no libocclum-pal.so" in said


def test_enclavize_run_does_what_engines_do(node: Node, occlum: OcclumImage, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "rune").mkdir(parents=True)
    shutil.copy(node.folder / "config.toml", home / "rune" / "config.toml")
    environment = {
        "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(home),
        "PATH": os.environ["PATH"],
    }  # fmt: skip
    if Path("/etc/rune/config.toml").exists():
        pytest.skip("this machine has settings of its own in /etc/rune/config.toml")
    for arguments, code in (((), 0), (("exit", "5"), 5), (("exit", "6"), 6)):
        done = subprocess.run(
            [
                sys.executable, "-m", "enclavize", "run", "-e", "A=1", "--simulate", f"oci:{occlum.layout}",
                *arguments,
            ],
            cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        shown = [line for line in done.stdout.splitlines() if line.startswith("argument")]
        assert shown == [f"argument {word}" for word in ("/bin/app", *(arguments or ("show",)))]
        assert "environment A=1" in done.stdout
