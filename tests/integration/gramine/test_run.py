"""Converted images run in a real Gramine, in direct mode. Skipped where there is none."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.images import file
from support.programs import SAMPLES, dynamic_musl, go_program, need
from support.scale import scaled

from .conftest import CONFIG, manifest_of

if TYPE_CHECKING:
    from support.images import Member

    from .conftest import Lab

pytestmark = pytest.mark.integration

SIMULATION = "SIMULATION: Gramine's direct mode protects NOTHING"


@pytest.fixture(scope="module")
def python(real: Lab) -> str:
    """Return an image of Debian's Python."""
    need("umoci")
    layout = real.base / "sample-python"
    done = subprocess.run(
        [SAMPLES / "build.sh", "python", layout], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"samples/build.sh python failed: {done.stderr[-200:]}")
    return f"oci:{layout}:1"


@pytest.fixture(scope="module")
def opened(real: Lab, source: str) -> Path:
    """Return the small image with arguments, variables and a volume of the host's."""
    return real.build(
        source, "opened", "--allow-args", "--allow-env", "TOKEN", "--allow-env", "LINES", "--volume", "/data"
    )


def test_a_static_program_runs_on_scratch_as_the_image_says(real: Lab, built: Path) -> None:
    done = real.run(built)
    assert done.stdout == 'name probe\ncwd /\nids 7 8\nLINES a\nb"c\\\nTOKEN -\n'
    assert done.returncode == 0
    assert SIMULATION in done.stderr


def test_strict_simulation_is_not_gramines(real: Lab, built: Path) -> None:
    done = real.converter.run("run", "--simulate=strict", f"oci:{built}", check=False)
    assert (done.returncode, "of the builtin LibOS alone" in done.stderr) == (125, True), done.stderr


def test_without_sgx_and_without_being_asked_nothing_runs(real: Lab, built: Path) -> None:
    if Path("/dev/sgx_enclave").exists():
        pytest.skip("this machine has SGX")
    done = real.converter.run("run", f"oci:{built}", check=False)
    assert done.returncode
    assert "simulation was not asked for" in done.stderr


def test_the_host_gives_what_the_policy_opens_and_nothing_else(real: Lab, opened: Path, built: Path) -> None:
    done = real.run(
        opened, "-e", "TOKEN=secret", "-e", "LD_PRELOAD=/x", "-e", "OTHER=1", "--", "show", "one two"
    )
    assert done.returncode == 0
    assert "argument one two\n" in done.stdout
    assert "TOKEN secret\n" in done.stdout
    assert 'LINES a\nb"c\\\n' in done.stdout
    assert "TOKEN -\n" in real.run(built, "-e", "TOKEN=secret").stdout
    assert "argument" not in real.run(built, "--", "show", "one").stdout


def test_the_images_own_arguments_are_the_default(real: Lab, opened: Path) -> None:
    assert real.run(opened).stdout.startswith("name /usr/bin/probe\ncwd /\n")


@pytest.mark.parametrize(
    ("arguments", "code"), [(("exit", "5"), 5), (("exit", "255"), 255), (("crash",), 139)]
)
def test_exit_codes_pass(real: Lab, opened: Path, arguments: tuple[str, ...], code: int) -> None:
    assert real.run(opened, "--", *arguments).returncode == code


def test_files_have_all_their_names(real: Lab, opened: Path) -> None:
    done = real.run(opened, "--", "cat", "/srv/data", "/etc/hosts", "/etc/passwd", "/bin/../srv/data")
    assert done.stdout == "data\n127.0.0.1 inside\nroot:x:0:0::/root:/bin/sh\ndata\n"


def test_folders_in_memory_and_volumes_can_be_written(real: Lab, opened: Path, tmp_path: Path) -> None:
    paths = ("/tmp/a", "/run/b", "/dev/shm/c", "/data/d")
    os.chown(tmp_path, 7, 8)  # the image's user
    done = real.run(opened, "-v", f"{tmp_path}:/data", "--", "write", *paths)
    assert done.stdout == "written\n" * len(paths)
    assert "does not see" not in done.stderr
    assert (tmp_path / "d").read_text() == "written\n"
    done = real.run(opened, "--", "write", "/srv/data")
    assert (done.returncode, "/srv/data: " in done.stdout) == (1, True)


def test_a_changed_and_an_unlisted_file_are_refused(real: Lab, opened: Path) -> None:
    """Whoever has the unpacked image can change it: Gramine compares what it opens with the manifest."""
    real.run(opened)
    tree = unpacked(real, opened)
    shutil.copy(tree / "srv" / "data", real.base / "data")
    try:
        (tree / "srv" / "data").write_text("Data\n")
        (tree / "srv" / "unlisted").write_text("new\n")
        assert real.run(opened, "--", "cat", "/srv/data").stdout == "/srv/data: Operation not permitted\n"
        assert real.run(opened, "--", "cat", "/srv/unlisted").stdout == "/srv/unlisted: Permission denied\n"
    finally:
        shutil.copy(real.base / "data", tree / "srv" / "data")
        (tree / "srv" / "unlisted").unlink()


def unpacked(lab: Lab, layout: Path) -> Path:
    """Return the tree that ``enclavize run`` made of an image."""
    wanted = manifest_of(layout)
    for path in lab.base.glob("**/.enclave/instance/app.manifest.sgx"):
        if path.read_bytes() == wanted:
            return path.parents[2]
    raise AssertionError("the image has not been unpacked")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 3), (signal.SIGINT, 3)])
def test_signals_that_ask_for_an_end_come_as_sigterm(real: Lab, opened: Path, number: int, code: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "enclavize", "run", "--simulate", f"oci:{opened}", "wait"],
        env=dict(real.converter.environment), stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        process.send_signal(number)
        assert process.stdout.read() == f"signal {signal.SIGTERM}\n"
        assert process.wait(120) == code


def test_a_dynamic_musl_program_gets_gramines_musl(real: Lab) -> None:
    need("musl-gcc")
    if not list(real.toolchain.rglob("runtime/musl/libc.so")):
        pytest.skip("this Gramine was built without musl")
    rootfs = real.base / "dynamic"
    libraries = {"once": SAMPLES / "hello" / "once.c", "twice": SAMPLES / "hello" / "twice.c"}
    program = dynamic_musl(rootfs, SAMPLES / "hello" / "dynamic.c", libraries, "dynamic")
    members = [
        file(str(path.relative_to(rootfs)), path.read_bytes(), 0o755)
        for path in (
            program,
            rootfs / "usr/lib/libonce.so",
            rootfs / "usr/lib/libtwice.so",
            rootfs / "lib/ld-musl-x86_64.so.1",
        )
    ]
    layout = real.build(real.image("dynamic", members, {"Entrypoint": ["/bin/dynamic"]}), "dynamic-tee")
    native = subprocess.run(
        [program],
        env={"LD_LIBRARY_PATH": str(rootfs / "usr/lib")},
        capture_output=True,
        text=True,
        check=False,
    )
    done = real.run(layout)
    assert (done.stdout, done.returncode) == (native.stdout, native.returncode)
    assert "degrades performance" not in done.stderr


def test_a_go_program_runs(real: Lab, tmp_path: Path) -> None:
    program = go_program(SAMPLES / "goroutines", tmp_path / "goroutines")
    image = real.image(
        "go", [file("goroutines", program.read_bytes(), 0o755)], {"Entrypoint": ["/goroutines"]}
    )
    native = subprocess.run([program], capture_output=True, text=True, check=False)
    done = real.run(real.build(image, "go-tee"))
    assert (stable(done.stdout), done.returncode) == (stable(native.stdout), native.returncode)


def stable(text: str) -> str:
    """Return an output without what differs from run to run."""
    return re.sub(r"\d+(\.\d+)?\s*(ms|s|µs|MB|MiB)", "N", text)


def test_debians_python_runs_with_threads(real: Lab, python: str) -> None:
    layout = real.build(python, "python-tee")
    done = real.run(layout)
    native = subprocess.run(
        ["/usr/bin/python3", SAMPLES / "python" / "hello.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == native.returncode, done.stderr
    assert done.stdout.splitlines()[-1] == native.stdout.splitlines()[-1]
    assert "degrades performance" not in done.stderr


@pytest.mark.parametrize("name", ["java", "node"])
def test_language_runtimes_run(real: Lab, name: str) -> None:
    need("umoci", {"java": "jlink"}.get(name, name))
    layout = real.base / f"sample-{name}"
    made = subprocess.run([SAMPLES / "build.sh", name, layout], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"samples/build.sh {name} failed: {made.stderr[-200:]}")
    resources = ("--set", "memory=4G", "--set", "threads=64")
    done = real.run(real.build(f"oci:{layout}:1", f"{name}-tee", *resources))
    assert (done.returncode, done.stdout.startswith("Hello from ")) == (0, True), done.stderr


def test_every_name_of_a_large_tree_can_be_opened(real: Lab, members: list[Member]) -> None:
    many = [
        file(f"usr/lib/tree/{number // 100}/file{number}", f"{number}\n")
        for number in range(scaled(20_000, least=1000))
    ]
    image = real.image("many", [*members, *many], CONFIG)
    layout = real.build(image, "many-tee", "--allow-args")
    manifest = manifest_of(layout)
    assert manifest.count(b"[[sgx.trusted_files]]") > len(many)
    done = real.run(layout, "--", "cat", "/usr/lib/tree/0/file0", f"/{many[-1].path}")
    assert done.stdout == f"0\n{len(many) - 1}\n"


def test_the_sgx_loader_takes_the_manifest_and_needs_nothing_of_the_image(real: Lab, source: str) -> None:
    """Without SGX it gets as far as the device."""
    need("unshare", "mount", "chroot")
    if Path("/dev/sgx_enclave").exists():
        pytest.skip("this machine has SGX")
    tree = real.base / "on-scratch"
    real.converter.run("build", source, *real.options(), "-o", f"type=local,dest={tree}")
    (tree / "proc").mkdir(exist_ok=True)
    start = "gramine/sgx/loader /.enclave/gramine/sgx/libpal.so init /.enclave/instance/app"
    script = f'mount -t proc proc "$1/proc" && exec env -i "$(command -v chroot)" "$1" /.enclave/{start}'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", tree], capture_output=True, text=True, check=False
    )
    assert done.returncode == 254
    assert re.search(r"Cannot open (/dev/sgx_enclave|SGX driver device)", done.stderr)


def test_a_file_that_the_host_brings_has_to_have_its_hash(real: Lab, source: str, tmp_path: Path) -> None:
    manifest, model = tmp_path / "app.manifest", tmp_path / "model"
    model.write_text("weights\n")
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    manifest.write_text(
        f'sgx.trusted_files = [ {{ uri = "file:/models/m.bin", sha256 = "{digest}" }} ]\n'
        "loader.insecure__use_cmdline_argv = true\n"
    )
    layout = real.build(source, "pinned", "--manifest", str(manifest))
    done = real.run(layout, "-v", f"{model}:/models/m.bin", "--", "cat", "/models/m.bin")
    assert (done.stdout, done.returncode) == ("weights\n", 0), done.stderr
    assert "does not see" not in done.stderr
    model.write_text("Weights\n")
    done = real.run(layout, "-v", f"{model}:/models/m.bin", "--", "cat", "/models/m.bin")
    assert done.stdout == "/models/m.bin: Operation not permitted\n"
    assert real.verify(layout).returncode == 0
