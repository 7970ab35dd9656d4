"""A build that is interrupted, killed or out of disk leaves nothing that harms the next one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from support.images import build_image, directory, file, write_layout
from support.programs import busybox, need_root
from support.registry import Front
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from enclavize.oci.descriptor import Descriptor
    from support.command import Command
    from support.images import BuiltImage
    from support.registry import FrontHandler, Registry

pytestmark = pytest.mark.integration

SIZE = 12 << 20


@pytest.fixture(scope="module")
def large() -> BuiltImage:
    """Return an image that takes a while."""
    noise = random.Random(1)
    return build_image(
        [
            [
                directory("bin"),
                file("bin/busybox", busybox().read_bytes(), 0o755),
                *(file(f"data-{number}", noise.randbytes(SIZE // 3)) for number in range(3)),
            ]
        ],
        config={"Cmd": ["/bin/busybox"]},
        compression="none",
    )


@pytest.fixture
def source(tmp_path: Path, large: BuiltImage) -> str:
    return f"oci:{write_layout(tmp_path / 'layout', {'1': large})}"


def check_clean(command: Command, source: str) -> None:
    """See that no half output is there and that the next build works and cleans up."""
    assert not (command.base / "x.tar").exists()
    assert not (command.base / "build.json").exists()
    command.run("build", source, "-o", "type=oci,dest=x.tar", "--metadata-file", "build.json")
    command.run("verify", "oci-archive:x.tar", "--allow-any-signer", "--allow-debug")
    assert not command.leftovers()
    assert sorted(path.name for path in command.base.iterdir()) == ["build.json", "cache", "data", "x.tar"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_ends_at_once_even_when_the_registry_hangs(
    command: Command, registry: Registry, large: BuiltImage, push: Callable[..., str], number: int
) -> None:
    name = push(large, "robust/slow:1").partition("/")[2]
    layer = large.layers[0].descriptor
    digest = layer.digest
    with (
        slow_front(registry, layer) as front,
        command.start("build", f"{front.host}/{name}", "-o", "type=oci,dest=x.tar") as process,
    ):
        while not front.count(f"GET /v2/robust/slow/blobs/{digest}"):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        try:
            _, errors = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 130
    assert b"Traceback" not in errors
    check_clean(command, f"{registry.host}/{name}")


@contextmanager
def slow_front(registry: Registry, layer: Descriptor) -> Iterator[Front]:
    """Serve the start of one blob, and then nothing."""

    def intercept(handler: FrontHandler) -> bool:
        if layer.digest in handler.path and handler.command == "GET":
            handler.send_response(200)
            handler.send_header("Content-Length", str(layer.size))
            handler.end_headers()
            handler.wfile.write(bytes(1000))
            ended.wait(timeout=60)
        return False

    ended = threading.Event()
    with Front(registry.port, intercept) as front:
        try:
            yield front
        finally:
            ended.set()


def test_kill_at_any_moment_does_no_harm(command: Command, source: str) -> None:
    random_moment = random.Random(7)
    started = time.monotonic()
    replace(command, separate=True).run("build", source, "-o", "type=oci,dest=x.tar")
    whole = time.monotonic() - started
    for _ in range(scaled(100, least=4)):
        (command.base / "x.tar").unlink(missing_ok=True)
        process = command.start(
            "build", source, "--no-cache", "-o", "type=oci,dest=x.tar", "--metadata-file", "build.json"
        )
        time.sleep(random_moment.uniform(0, whole))
        process.kill()
        process.communicate()
    for path in command.base.glob(
        ".x.tar.*"
    ):  # a killed build cannot remove its temporary file beside the output
        path.unlink()
    (command.base / "x.tar").unlink(missing_ok=True)
    (command.base / "build.json").unlink(missing_ok=True)
    check_clean(command, source)


def test_builds_at_the_same_time_give_the_same_result(command: Command, source: str) -> None:
    processes = [
        command.start("build", source, "-q", "-o", f"type=oci,dest={number}.tar") for number in range(3)
    ]
    results = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 3, results
    assert len({output for output, _ in results}) == 1
    assert len({(command.base / f"{number}.tar").read_bytes() for number in range(3)}) == 1


def test_builds_in_a_cache_that_others_prune_are_whole(command: Command, source: str) -> None:
    """Each build prunes everything that none of the others uses, at its end."""
    eager = replace(command, environment={"ENCLAVIZE_CACHE_MAX_SIZE": "1"})
    count = scaled(50, least=5)
    processes = [
        eager.start("build", source, "-q", "-o", f"type=oci,dest={number}.tar") for number in range(count)
    ]
    for _ in range(count):
        command.run("cache", "prune")
    results = [process.communicate(timeout=60 + 10 * count) for process in processes]
    assert [process.returncode for process in processes] == [0] * count, results
    assert len({(command.base / f"{number}.tar").read_bytes() for number in range(count)}) == 1
    facts = json.loads(command.run("cache", "prune", "--format", "json").stdout)
    assert facts["left"] == 0
    assert not command.leftovers()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of a few megabytes."""
    need_root()
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # engines that run beside look at all mounts


def test_a_full_disk_for_the_output_gives_one_error(command: Command, source: str, small_disk: Path) -> None:
    message = command.run("build", source, "-o", f"type=oci,dest={small_disk / 'x.tar'}", code=1).stderr
    assert message.count("ERROR: ") >= 1
    assert "No space left" in message
    assert not list(small_disk.iterdir())


def test_a_full_disk_for_the_cache_gives_one_error(command: Command, source: str, small_disk: Path) -> None:
    full = replace(command, environment={"XDG_CACHE_HOME": str(small_disk)})
    (small_disk / "ballast").write_bytes(bytes((4 << 20) - 32768))
    message = full.run("build", source, "-o", "type=oci,dest=x.tar", code=1).stderr
    assert "No space left" in message
    assert not (command.base / "x.tar").exists()
    (small_disk / "ballast").unlink()
    full.run("build", source, "-o", "type=oci,dest=x.tar")


def test_folders_that_cannot_be_written_are_named(command: Command, source: str) -> None:
    (command.base / "folder").mkdir()
    (command.base / "folder" / "file").touch()
    for kind in ("oci", "local", "oci,tar=false"):
        message = command.run("build", source, "-o", f"type={kind},dest=folder", code=2).stderr
        assert "folder" in message
    blocked = replace(command, environment={"XDG_CACHE_HOME": "/proc/nowhere"})
    assert "/proc/nowhere" in blocked.run("build", source, "-o", "type=oci,dest=x.tar", code=1).stderr


def test_a_closed_pipe_ends_the_build_quietly(command: Command, source: str) -> None:
    reader, writer = os.pipe()
    process = subprocess.Popen(
        command.arguments("build", source, "-o", "type=oci"), env=command.variables(), stdout=writer,
        stderr=subprocess.PIPE, cwd=command.base,
    )  # fmt: skip
    os.close(writer)
    os.close(reader)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"Traceback" not in errors
    assert b"Exception ignored" not in errors


def test_an_archive_on_standard_output_is_whole(command: Command, source: str) -> None:
    separate = replace(command, separate=True)
    separate.run("build", source, "-o", "type=oci,dest=x.tar")
    done = subprocess.run(
        command.arguments("build", source, "-o", "type=oci,dest=-"), env=command.variables(),
        capture_output=True, check=True, cwd=command.base,
    )  # fmt: skip
    assert done.stdout == (command.base / "x.tar").read_bytes()
