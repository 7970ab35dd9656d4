"""What runs outside of a builtin enclave is that of this command or of a release; stored bytes are hashed."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from enclavize import __version__
from enclavize.tee import releases
from support.images import plain_tar_members, tar_of
from support.programs import need
from support.registry import running_registry
from support.tampering import TamperedImage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.command import Built

pytestmark = pytest.mark.integration

RUNELET = ".enclave/bin/runelet"
EVIL = b"#!/bin/sh\necho I run outside of any enclave\n"


@pytest.fixture
def swapped(built: Built, tmp_path: Path) -> str:
    """Return an image with another runelet, of which everything tells that needs no key."""
    image = TamperedImage(built.layout, tmp_path / "swapped")
    image.change_data(RUNELET, lambda _: EVIL)
    image.redescribe()
    return image.save()


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a table of releases that takes the place of the package's."""
    path = tmp_path / "releases.toml"
    path.write_text("")
    monkeypatch.setattr(releases, "TABLE", path)
    yield path
    releases.read_releases.cache_clear()


def write_release(table: Path, version: str, runelet: str, more: str = "") -> None:
    """Let the table know one release."""
    components = f'"runelet" = "{runelet}"\n'
    table.write_text(f'[[release]]\nversion = "{version}"\n[release.components]\n{components}{more}')
    releases.read_releases.cache_clear()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("option", ["--signer", "--mrenclave", "--allow-any-signer"])
def test_another_runelet_is_refused_whatever_vouches_for_the_enclave(
    built: Built, swapped: str, option: str
) -> None:
    mrenclave = built.command.run("inspect", built.name, "--format", "mrenclave").stdout.strip()
    values = {"--signer": [str(built.public_key)], "--mrenclave": [mrenclave]}
    done = built.command.run("verify", swapped, option, *values.get(option, []), "--format", "json", code=4)
    assert f"/{RUNELET}, which runs outside of the enclave, is neither" in done.stderr
    assert sha256(EVIL) in done.stderr
    assert "--host-files" in done.stderr
    verdict = json.loads(done.stdout)
    assert verdict["trusted"] is False
    assert verdict["outside"] == "unknown files"
    assert len(verdict["objections"]) == 1


def test_the_runelet_of_a_release_is_known(built: Built, swapped: str, table: Path) -> None:
    verify = ("verify", swapped, "--signer", built.public_key)
    built.command.run(*verify, code=4)
    write_release(table, "0.3.0", sha256(EVIL))
    message = built.command.run(*verify, code=4).stderr
    assert f"'enclavize/{__version__}' made the image, but /{RUNELET} is of enclavize 0.3.0" in message
    write_release(table, __version__, sha256(EVIL))
    built.command.run(*verify)


def test_enclave_json_names_the_release_that_the_runelet_is_of(built: Built, tmp_path: Path) -> None:
    image = TamperedImage(built.layout, tmp_path / "copy")
    image.describe(lambda document: document.update(generator="enclavize/99.0.0"))
    message = built.command.run("verify", image.save(), "--signer", built.public_key, code=4).stderr
    assert f"'enclavize/99.0.0' made the image, but /{RUNELET} is of enclavize {__version__}" in message


def test_a_runelet_can_be_pinned(built: Built, swapped: str, tmp_path: Path) -> None:
    pins = tmp_path / "pins"
    verify = ("verify", swapped, "--signer", built.public_key, "--host-files", pins)
    pins.write_text(f"{sha256(EVIL)}  bin/runelet\n")
    built.command.run(*verify)
    pins.write_text(f"{'0' * 64}  bin/runelet\n")
    built.command.run(*verify, code=4)
    policy = tmp_path / "policy.toml"
    policy.write_text(f'signers = ["{built.public_key}"]\nhost_files = ["pins"]\n')
    built.command.run("verify", swapped, "--policy", policy, code=4)
    pins.write_text(f"{sha256(EVIL)}  bin/runelet\n")
    built.command.run("verify", swapped, "--policy", policy)
    for text in ("", "x\n"):
        pins.write_text(text)
        assert str(pins) in built.command.run("verify", swapped, "--policy", policy, code=2).stderr


def test_this_commands_runelet_is_what_digests_writes(built: Built, tmp_path: Path) -> None:
    done = built.command.run("toolchain", "digests", "--libos", "builtin")
    pins = tmp_path / "pins"
    pins.write_text(done.stdout)
    built.command.run("verify", built.name, "--signer", built.public_key, "--host-files", pins)
    runelet = (built.command.native / "runelet").read_bytes()
    assert f"{sha256(runelet)}  bin/runelet\n" in done.stdout
    built.command.run("toolchain", "digests", code=2)
    built.command.run("toolchain", "digests", "/somewhere", "--libos", "builtin", code=2)
    assert (
        "takes none"
        in built.command.run(
            "verify", built.name, "--signer", built.public_key, "--toolchain", tmp_path, code=2
        ).stderr
    )


def test_an_image_without_runelet_is_refused(built: Built, tmp_path: Path) -> None:
    image = TamperedImage(built.layout, tmp_path / "copy")
    image.change(RUNELET, lambda _: None)
    image.describe(lambda document: document["files"].pop("bin/runelet"))
    message = built.command.run("verify", image.save(), "--signer", built.public_key, code=1).stderr
    assert "ERROR" in message


def test_a_libos_of_no_known_release_counts_as_flawed(
    built: Built, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What enclave.json says of its version could be a lie, and is not even asked."""
    monkeypatch.setattr(releases, "_installed", lambda _component: "")
    image = TamperedImage(built.layout, tmp_path / "copy")
    contents = {member.path: member.data for layer in image.layers for member in layer}
    runelet = sha256(contents[RUNELET])
    write_release(table, __version__, runelet)
    verify = ("verify", built.name, "--signer", built.public_key)
    done = built.command.run(*verify, "--format", "json", code=4)
    assert "unknown-release" in done.stderr
    assert json.loads(done.stdout)["known_flaws"] == ["unknown-release"]
    built.command.run(*verify, "--allow-flaw", "unknown-release")
    libos = sha256((built.command.native / "libos.so").read_bytes())
    for version, flaws in (("0.1.0", ["builtin-smashex"]), ("0.2.0", [])):
        other = f'[[release]]\nversion = "{version}"\n[release.components]\n"libos.so" = "{libos}"\n'
        write_release(table, __version__, runelet, other)
        done = built.command.run(*verify, "--format", "json", code=4 if flaws else 0)
        assert json.loads(done.stdout)["known_flaws"] == flaws
        if flaws:
            assert "builtin-smashex" in done.stderr
            assert "fixed in 0.2.0" in done.stderr
            built.command.run(*verify, "--allow-flaw", "builtin-smashex")


def test_flaws_may_be_added_in_a_file(built: Built, tmp_path: Path) -> None:
    flaws = tmp_path / "flaws.toml"
    flaws.write_text(
        '[[flaw]]\nid = "MINE-1"\nlibos = "builtin"\ntitle = "found yesterday"\nsource = "a letter"\n'
    )
    verify = ("verify", built.name, "--signer", built.public_key)
    done = built.command.run(*verify, "--known-flaws", flaws, code=4)
    assert "its LibOS has the known flaw MINE-1 (found yesterday; no release is without it)" in done.stderr
    built.command.run(*verify, "--known-flaws", flaws, "--allow-flaw", "MINE-1")
    policy = tmp_path / "policy.toml"
    policy.write_text(f'signers = ["{built.public_key}"]\nknown_flaws = ["flaws.toml"]\n')
    built.command.run("verify", built.name, "--policy", policy, code=4)
    policy.write_text(policy.read_text() + 'allow_flaws = ["MINE-1"]\n')
    built.command.run("verify", built.name, "--policy", policy)
    flaws.write_text("x")
    built.command.run("verify", built.name, "--policy", policy, code=2)


def test_a_damaged_blob_of_a_layout_is_refused_though_its_index_is_known(
    built: Built, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(built.layout, copy)
    built.command.run("verify", f"oci:{copy}", "--signer", built.public_key)
    image = TamperedImage(copy, tmp_path / "unchanged")
    for layer in image.manifest["layers"]:
        digest = layer["digest"].removeprefix("sha256:")
        path = copy / "blobs" / "sha256" / digest
        data = path.read_bytes()
        for changed in (data[:-1] + bytes([data[-1] ^ 1]), data[:-1], data + b"\0"):
            path.write_bytes(changed)
            done = built.command.run("verify", f"oci:{copy}", "--signer", built.public_key, code=1)
            assert digest in done.stderr
            assert "trusted" not in done.stdout
        path.write_bytes(data)
    built.command.run("verify", f"oci:{copy}", "--signer", built.public_key)


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
def test_a_damaged_layer_of_an_archive_is_refused_though_its_index_is_known(
    built: Built, tmp_path: Path, kind: str
) -> None:
    need("skopeo")
    archive = tmp_path / "tee.tar"
    options = ["--preserve-digests"] if kind == "oci-archive" else []
    subprocess.run(
        ["skopeo", "copy", "-q", *options, f"oci:{built.layout}", f"{kind}:{archive}:tee:1"], check=True
    )
    verify = ("verify", f"{kind}:{archive}", "--signer", built.public_key)
    built.command.run(*verify)
    members = plain_tar_members(archive.read_bytes(), "application/vnd.oci.image.layer.v1.tar")
    layers = [member for member in members if b"ENCLAVIZE_SIMULATE" in member.data]
    assert layers
    for layer in layers:
        changed = layer.data.replace(b"ENCLAVIZE_SIMULATE", b"ENCLAVIZE_TAMPERED")
        archive.write_bytes(
            tar_of(
                [
                    type(member)(path=member.path, type=member.type, link=member.link, mode=member.mode,
                                 data=changed if member is layer else member.data)
                    for member in members
                ],
                tarfile.USTAR_FORMAT,
            )
        )  # fmt: skip
        done = built.command.run(*verify, code=1)
        assert "digest" in done.stderr
        assert "trusted" not in done.stdout


def test_cached_blobs_of_a_registry_are_hashed_and_those_not_here_are_told(
    built: Built, tmp_path: Path
) -> None:
    need("skopeo")
    with running_registry(tmp_path / "registry") as registry:
        name = f"{registry.host}/tee:1"
        subprocess.run(
            [
                "skopeo",
                "copy",
                "-q",
                "--preserve-digests",
                "--dest-tls-verify=false",
                f"oci:{built.layout}",
                f"docker://{name}",
            ],
            check=True,
        )
        command = type(built.command)(base=tmp_path / "home", native=built.command.native)
        command.base.mkdir()
        verify = ("verify", name, "--signer", built.public_key, "--format", "json")
        assert json.loads(command.run(*verify).stdout)["unread"] == []
        layer = TamperedImage(built.layout, tmp_path / "copy").manifest["layers"][0]["digest"]
        blob = command.blobs / "sha256" / layer.removeprefix("sha256:")
        data = blob.read_bytes()
        blob.chmod(0o644)
        blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        assert "was damaged" in command.run(*verify, code=1).stderr
        assert not blob.exists()
        assert json.loads(command.run(*verify).stdout)["unread"] == [layer]
