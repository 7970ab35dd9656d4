"""What is large, many at once, or ends in the middle: the result is right, and nothing is left."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import signal
import subprocess
import tarfile
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from bench.harness import run
from enclavize.oci.limits import MAX_LAYERS
from support.images import build_image, directory, file, whiteout, write_layout
from support.programs import busybox, need_root
from support.registry import Front
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.command import Command
    from support.images import BuiltImage
    from support.registry import FrontHandler, Registry

pytestmark = pytest.mark.integration

WHOLE, SMALL = 20_000_000_000, 64 << 20
"""Bytes of the large file; the small one where the scale is not 1."""

PEAK = 100_000_000
"""Bytes of memory."""

PIECE = 1 << 20


LAYERS = MAX_LAYERS - 2
"""As many as leave room for those of a TEE image."""


def test_the_most_layers_give_the_tree_of_one(command: Command, key: Path) -> None:
    """Each layer adds a file, and removes that of the one below."""
    program = [directory("bin"), file("bin/busybox", busybox().read_bytes(), 0o755), directory("d")]
    layers = [program]
    for number in range(LAYERS - 1):
        gone = [whiteout(f"d/{number - 1}")] if number else []
        layers.append([file(f"d/{number}", str(number)), *gone])
    flat = [[*program, file(f"d/{LAYERS - 2}", str(LAYERS - 2))]]
    config = {"Cmd": ["/bin/busybox"]}
    images = {"many": build_image(layers, config=config), "one": build_image(flat, config=config)}
    layout = write_layout(command.base / "layout", images)
    measured = set()
    for tag in images:
        output = f"type=oci,dest={tag}.tar"
        command.run("build", f"oci:{layout}:{tag}", "--key", key, "-o", output, "-q")
        command.run("verify", f"oci-archive:{tag}.tar", "--allow-any-signer")
        told = json.loads(command.run("inspect", f"oci-archive:{tag}.tar", "--format", "json").stdout)
        measured.add(told["mrenclave"])
    assert len(measured) == 1


def test_a_build_of_one_large_file_needs_little_memory(tmp_path: Path, command: Command, key: Path) -> None:
    size = WHOLE if scaled(WHOLE) == WHOLE else SMALL
    if shutil.disk_usage(tmp_path).free < size * 5 // 4:
        pytest.skip(f"there is no room for {size} bytes")
    layout = _layout_of_one_file(tmp_path / "layout", size)
    output = f"type=oci,tar=false,dest={tmp_path / 'tee'}"
    arguments = command.arguments("build", f"oci:{layout}", "--key", key, "-o", output, "-q")
    done = run(arguments, command.variables())
    print(f"{size} bytes: {done.seconds:.0f} s, {done.processor:.0f} s of CPU, {done.peak / 1e6:.0f} MB")
    assert done.peak < PEAK
    command.run("verify", f"oci:{tmp_path / 'tee'}", "--allow-any-signer")
    assert not command.leftovers()
    shutil.rmtree(tmp_path / "tee")


def _layout_of_one_file(path: Path, size: int) -> Path:
    """Write a layout whose one layer, an uncompressed archive, is a sparse file."""
    small = build_image([[directory("bin"), file("bin/busybox", busybox().read_bytes(), 0o755)]])
    write_layout(path, {"1": small})
    blobs = path / "blobs" / "sha256"
    member = tarfile.TarInfo("data")
    member.size = size
    digest, layer = hashlib.sha256(), blobs / "new"
    with layer.open("wb") as stream:
        stream.write(member.tobuf(tarfile.GNU_FORMAT) + b"begin")
        stream.truncate(512 + -(-size // 512) * 512 + 1024)
    with layer.open("rb") as source:
        while data := source.read(PIECE):
            digest.update(data)
    layer.rename(blobs / digest.hexdigest())

    def put(value: dict[str, Any]) -> dict[str, Any]:
        data = json.dumps(value).encode()
        name = hashlib.sha256(data).hexdigest()
        (blobs / name).write_bytes(data)
        return {"digest": f"sha256:{name}", "size": len(data)}

    index = json.loads((path / "index.json").read_bytes())
    manifest = json.loads((blobs / index["manifests"][0]["digest"].partition(":")[2]).read_bytes())
    config = json.loads((blobs / manifest["config"]["digest"].partition(":")[2]).read_bytes())
    config["config"] = {"Cmd": ["/bin/busybox"]}
    config["rootfs"]["diff_ids"].append(f"sha256:{digest.hexdigest()}")
    config.pop("history", None)
    manifest["config"].update(put(config))
    manifest["layers"].append(
        {
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": f"sha256:{digest.hexdigest()}",
            "size": (blobs / digest.hexdigest()).stat().st_size,
        }
    )
    index["manifests"][0].update(put(manifest))
    (path / "index.json").write_text(json.dumps(index))
    return path


@pytest.fixture(scope="module")
def large() -> BuiltImage:
    """Return an image whose one layer has 12 MB that do not compress."""
    noise = random.Random(2)
    program = [directory("bin"), file("bin/busybox", busybox().read_bytes(), 0o755)]
    return build_image(
        [[*program, *(file(f"data-{number}", noise.randbytes(4 << 20)) for number in range(3))]],
        config={"Cmd": ["/bin/busybox"]},
    )


def test_builds_that_share_a_cache_read_a_layer_once_and_one_that_is_killed_harms_none(
    command: Command, registry: Registry, large: BuiltImage, push: Callable[..., str]
) -> None:
    """The first one is killed while it has the layer half; all others wait for it."""
    count = scaled(50, least=5)
    name = push(large, "scale/shared:1").partition("/")[2]
    layer = large.layers[0].descriptor.digest
    downloads: list[object] = []

    def intercept(handler: FrontHandler) -> bool:
        if handler.command != "GET" or layer not in handler.path:
            return False
        downloads.append(handler)
        return len(downloads) == 1 and _half(handler)

    def _half(handler: FrontHandler) -> bool:
        handler.forward(limit=6 << 20)
        first.send_signal(signal.SIGKILL)
        return True

    with Front(registry.port, intercept) as front:
        arguments = ["build", f"{front.host}/{name}", "-q", "-o"]
        first = command.start(*arguments, "type=oci,dest=killed.tar")
        others = [command.start(*arguments, f"type=oci,dest={number}.tar") for number in range(count)]
        first.communicate()
        results = [process.communicate(timeout=120 + 20 * count) for process in others]
    assert first.returncode == -signal.SIGKILL
    assert [process.returncode for process in others] == [0] * count, results
    assert len({output for output, _ in results}) == 1
    assert len({(command.base / f"{number}.tar").read_bytes() for number in range(count)}) == 1
    assert len(downloads) == 2
    assert not (command.base / "killed.tar").exists()
    for path in command.base.glob(".killed.tar.*"):  # a killed build cannot remove what is beside the output
        path.unlink()
    command.run("build", f"{registry.host}/{name}", "-o", "type=oci,dest=last.tar")
    assert not command.leftovers()


@contextmanager
def _disk(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """Mount a file system of this size; gives what changes the size."""
    need_root()
    folder.mkdir()

    def mount(*options: str) -> None:
        done = subprocess.run(["mount", *options, folder], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"cannot mount a tmpfs here: {done.stderr.strip()}")

    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs")
    try:
        yield lambda new: mount("-o", f"remount,size={new}")
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # engines that run beside look at all mounts


def test_a_disk_that_is_full_in_the_middle_of_a_layer_gives_one_error_and_can_be_made_larger(
    tmp_path: Path, command: Command, large: BuiltImage, push: Callable[..., str]
) -> None:
    name = push(large, "scale/full:1")
    with _disk(tmp_path / "disk", "6m") as resize:
        limited = replace(command, environment={"XDG_CACHE_HOME": str(tmp_path / "disk")}, separate=True)
        told = limited.run("build", name, "--push", "-t", f"{name}-tee", code=1).stderr
        assert sum(line.startswith("ERROR: ") for line in told.splitlines()) == 1
        assert "No space left" in told
        left = [path for path in (tmp_path / "disk").rglob("*") if path.is_file() and path.suffix != ".lock"]
        begun = [path for path in left if path.name != hashlib.sha256(path.read_bytes()).hexdigest()]
        assert not [path for path in begun if path.stat().st_size]  # what the LibOS brings is whole before
        resize("64m")
        limited.run("build", name, "--push", "-t", f"{name}-tee")
        limited.run("verify", f"{name}-tee", "--allow-any-signer", "--allow-debug")
