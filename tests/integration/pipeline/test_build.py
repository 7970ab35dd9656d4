"""``enclavize build`` from a registry to a registry."""

from __future__ import annotations

import json
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.oci.cache import BlobCache
from enclavize.oci.digest import sha256_digest
from enclavize.oci.location import parse_location
from enclavize.oci.registry.target import RegistryTarget
from enclavize.oci.resolve import resolve
from enclavize.progress import Reporter
from support.images import (
    build_image,
    directory,
    file,
    plain_tar,
    to_write,
    write_docker_archive,
    write_layout,
)
from support.registry import Front, running_registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from enclavize.oci.image import Image
    from support.command import Command
    from support.images import BuiltImage
    from support.registry import Registry

pytestmark = pytest.mark.integration


def look(name: str, folder: Path) -> Image:
    image = resolve(parse_location(name), cache=BlobCache(folder), reporter=Reporter())
    image.source.close()
    return image


def metadata(command: Command, *arguments: str | Path) -> dict[str, Any]:
    command.run("build", *arguments, "--metadata-file", "build.json")
    found: dict[str, Any] = json.loads((command.base / "build.json").read_text())
    return found


def test_an_image_becomes_a_tee_image_with_the_same_layers(
    command: Command,
    registry: Registry,
    *,
    image: BuiltImage,
    push: Callable[..., str],
    key: Path,
    tmp_path: Path,
) -> None:
    source = push(image, "demo/app:1")
    target = f"{registry.host}/demo/app:1-tee"
    done = command.run(
        "build", source, "-t", target, "--key", key, "--push", "--isvsvn", "2", "--isvprodid", "9", "--label",
        "team=blue", "--annotation", "note=yes", "--metadata-file", "build.json", "--iidfile", "iid",
    )  # fmt: skip
    assert done.stdout == ""
    facts = json.loads((command.base / "build.json").read_text())

    tee = look(target, tmp_path)
    assert (
        tee.manifest.digest == facts["containerimage.digest"] == facts["containerimage.descriptor"]["digest"]
    )
    assert sha256_digest(tee.config_bytes) == facts["containerimage.config.digest"]
    assert (command.base / "iid").read_text() == facts["containerimage.config.digest"]
    assert [layer.digest for layer in tee.layers[:2]] == [layer.descriptor.digest for layer in image.layers]
    assert len(tee.layers) == 4
    assert (facts["enclavize.isvprodid"], facts["enclavize.isvsvn"], facts["enclavize.debug"]) == (
        9,
        2,
        False,
    )
    assert facts["enclavize.libos"] == "builtin"

    config = tee.config.raw["config"]
    assert config["Entrypoint"] == ["/.enclave/bin/runelet"]
    assert config["Cmd"] is None
    assert config["Env"] is None
    assert config["WorkingDir"] == "/"
    assert config["User"] == "app"
    assert config["StopSignal"] == "SIGUSR1"
    assert config["Healthcheck"] == {
        "Test": ["CMD", "/.enclave/bin/runelet", "exec", "--health"], "Interval": 5_000_000_000,
    }  # fmt: skip
    assert config["Labels"]["who"] == "me"
    assert config["Labels"]["team"] == "blue"
    assert config["Labels"]["org.enclavize.mrenclave"] == facts["enclavize.mrenclave"]
    annotations = json.loads(tee.manifest_bytes)["annotations"]
    assert annotations["org.opencontainers.image.base.name"] == source
    assert annotations["org.opencontainers.image.base.digest"] == image.descriptor.digest
    assert annotations["org.enclavize.mrsigner"] == facts["enclavize.mrsigner"]
    assert annotations["note"] == "yes"

    measured = json.loads(command.run("inspect", target, "--format", "json").stdout)["measured"]
    assert measured["entrypoint"] == ["busybox"]
    assert measured["environment"] == ["PATH=/bin", "GREETING=hello", "HOME=/home/app"]
    assert measured["user"] == [7, 8, 9]
    assert measured["stop_signal"] == 10
    assert measured["hostname"] == "box"
    assert measured["healthcheck"] == ["/bin/sh", "-c", "true"]
    command.run(
        "verify", target, "--signer", key.with_name("key.pub.pem"), "--min-svn", "2", "--isvprodid", "9"
    )


def test_a_conversion_adds_little_to_what_the_registry_has(
    command: Command, image: BuiltImage, key: Path, tmp_path: Path
) -> None:
    with running_registry(tmp_path / "registry") as empty:
        source = f"{empty.host}/demo/app:1"
        RegistryTarget().deliver(to_write(image, source), Reporter())
        before = empty.stored_bytes()
        command.run("build", source, "-t", f"{source}-tee", "--key", key, "--push")
        rootfs = sum(len(plain_tar(layer)) for layer in image.layers)
        assert 0 < empty.stored_bytes() - before < 0.02 * rootfs + 1_000_000


def test_a_rebuild_reads_no_layer_and_gives_the_same_digest(
    command: Command, registry: Registry, image: BuiltImage, push: Callable[..., str], key: Path
) -> None:
    push(image, "again/app:1")
    with Front(registry.port) as front:
        arguments = (
            f"{front.host}/again/app:1",
            "-t",
            f"{front.host}/again/app:1-tee",
            "--key",
            key,
            "--push",
        )
        first = metadata(command, *arguments)
        layers = [f"GET /v2/again/app/blobs/{layer.descriptor.digest}" for layer in image.layers]
        assert [front.count(layer) for layer in layers] == [1, 1], "each layer is read once, never twice"
        front.requests.clear()
        assert metadata(command, *arguments) == first
        assert not any(front.count(layer) for layer in layers)
        assert not front.count("PATCH")
        assert metadata(command, *arguments, "--no-cache") == first


def test_nothing_but_the_inputs_decides_the_result(
    tmp_path: Path, native: Path, image: BuiltImage, key: Path
) -> None:
    from support.command import Command

    no_isal = tmp_path / "no-isal"
    no_isal.mkdir()
    (no_isal / "isal.py").write_text("raise ImportError('not here')\n")
    results = []
    for name, environment in {
        "one": {},
        "two": {"PYTHONPATH": str(no_isal), "TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "1"},
    }.items():
        base = tmp_path / name
        base.mkdir()
        source = write_layout(base / f"layout-{name}", {"1": image})
        command = Command(base=base, native=native, environment=environment, separate=True)
        results.append(
            metadata(command, f"oci:{source}", "-t", f"{name}:1", "--key", key, "-o", "type=oci,dest=x.tar")
        )
    assert results[0] == results[1]


def test_source_kinds_and_compressions_give_the_same_enclave(
    command: Command, image: BuiltImage, push: Callable[..., str], key: Path, tmp_path: Path
) -> None:
    archive = write_docker_archive(tmp_path / "image.tar", {"app:1": image})
    output = ("-o", "type=oci,dest=x.tar")
    found = {
        metadata(command, source, "--key", key, *output)["enclavize.mrenclave"]
        for source in (push(image, "kinds/app:1"), f"docker-archive:{archive}")
    }
    assert len(found) == 1


def test_what_is_measured_changes_the_measurement(
    command: Command, tmp_path: Path, image: BuiltImage, key: Path
) -> None:
    source = f"oci:{write_layout(tmp_path / 'layout', {'1': image})}"
    variants: list[tuple[str, ...]] = [
        (), ("--allow-args",), ("--allow-env", "A"), ("--allow-env", "LD_PRELOAD:unsafe"), ("--allow-exec",),
        ("--allow-exec=ls",), ("--volume", "/data"), ("--volume", "/data:ro"), ("--volume", "/data:exec"),
        ("--allow-host-network-files",), ("--set", "memory=512M"), ("--set", "threads=8"),
    ]  # fmt: skip
    measured = [
        metadata(command, source, "--key", key, "-o", "type=oci,dest=x.tar", *options)["enclavize.mrenclave"]
        for options in variants
    ]
    assert len(set(measured)) == len(variants)
    same = metadata(
        command, source, "--key", key, "-o", "type=oci,dest=x.tar", "--label", "a=b", "--isvsvn", "7"
    )
    assert same["enclavize.mrenclave"] == measured[0]


def test_without_a_key_a_debug_image_is_made_and_said_so(
    command: Command, tmp_path: Path, image: BuiltImage
) -> None:
    source = f"oci:{write_layout(tmp_path / 'layout', {'1': image})}"
    done = command.run("build", source, "-o", "type=oci,dest=x.tar", "--metadata-file", "build.json")
    assert "DEBUG image" in done.stderr
    assert json.loads((command.base / "build.json").read_text())["enclavize.debug"] is True
    key = command.base / "data" / "enclavize" / "debug-key.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    assert "DEBUG image" in command.run("build", source, "-o", "type=oci,dest=x.tar").stderr, (
        "cached builds warn too"
    )
    facts = json.loads(command.run("inspect", "oci-archive:x.tar", "--format", "json").stdout)
    assert facts["policy"]["exec"] is True
    command.run("verify", "oci-archive:x.tar", "--allow-any-signer", code=4)
    command.run("verify", "oci-archive:x.tar", "--allow-any-signer", "--allow-debug")


def test_results_alone_go_to_standard_output(command: Command, tmp_path: Path, image: BuiltImage) -> None:
    source = f"oci:{write_layout(tmp_path / 'layout', {'1': image})}"
    done = command.run("build", source, "-o", "type=oci,dest=x.tar", "-q", "--iidfile", "iid")
    assert done.stdout == (command.base / "iid").read_text() + "\n"
    assert done.stderr == ""
    done = command.run("build", source, "-o", "type=oci,dest=x.tar", "--progress", "rawjson")
    assert done.stdout == ""
    assert all(json.loads(line)["v"] == 1 for line in done.stderr.splitlines())
    done = command.run("build", source, "-o", "type=oci,dest=x.tar", "--progress", "none")
    assert done.stdout + done.stderr == ""


def test_several_outputs_hold_the_same_image(
    command: Command, registry: Registry, image: BuiltImage, tmp_path: Path, key: Path
) -> None:
    source = f"oci:{write_layout(tmp_path / 'layout', {'1': image})}"
    name = f"{registry.host}/several/app:1"
    command.run(
        "build", source, "-t", name, "--key", key, "--push", "-o", "type=oci,dest=a.tar", "-o",
        "type=docker,dest=b.tar", "-o", "type=oci,tar=false,dest=c",
    )  # fmt: skip
    base = command.base
    digests = {
        look(found, tmp_path / "cache").manifest.digest
        for found in (name, f"oci-archive:{base / 'a.tar'}", f"oci:{base / 'c'}")
    }
    assert len(digests) == 1
    command.run("verify", f"docker-archive:{base / 'b.tar'}", "--signer", key.with_name("key.pub.pem"))


def test_an_image_for_another_platform_in_an_index_is_passed_over(
    command: Command, tmp_path: Path, image: BuiltImage
) -> None:
    from support.images import build_index

    arm = build_image([[directory("bin"), file("bin/x")]], platform=("linux", "arm64"))
    source = write_layout(tmp_path / "layout", {"1": build_index([arm, image], attestations=True)})
    command.run("build", f"oci:{source}", "-o", "type=oci,dest=x.tar")
    only_arm = write_layout(tmp_path / "arm", {"1": build_index([arm])})
    assert (
        "linux/arm64" in command.run("build", f"oci:{only_arm}", "-o", "type=oci,dest=y.tar", code=1).stderr
    )


def test_the_root_file_system_comes_out_as_a_folder_or_a_tar_file(
    command: Command, tmp_path: Path, image: BuiltImage
) -> None:
    source = f"oci:{write_layout(tmp_path / 'layout', {'1': image})}"
    command.run("build", source, "-o", "folder", "-o", "type=tar,dest=root.tar")
    folder = command.base / "folder"
    assert sorted(path.name for path in command.base.iterdir()) == ["cache", "data", "folder", "root.tar"]
    assert (folder / "etc" / "hostname").read_text() == "box\n"
    assert (folder / "bin" / "ls").readlink() == Path("busybox")
    assert (folder / ".enclave" / "instance" / "rootfs.erofs").is_file()
    with tarfile.open(command.base / "root.tar") as archive:
        found = {member.name: member for member in archive}
        data = archive.extractfile("data")
        assert data is not None
        assert data.read() == b"0123456789abcdef" * 50_000
    assert found["bin/busybox"].mode == 0o755
    assert found["bin/ls"].linkname == "busybox"
    assert found[".enclave/instance/enclave.signed.so"].mode == 0o444
    again = replace(command, separate=True)
    piped = subprocess.run(
        again.arguments("build", source, "-o", "-"), env=again.variables(), cwd=again.base, check=True,
        capture_output=True,
    )  # fmt: skip
    assert piped.stdout == (command.base / "root.tar").read_bytes()
