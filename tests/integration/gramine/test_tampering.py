"""``enclavize verify`` refuses a TEE image of Gramine in which anything was changed, and says what."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import tomli_w

from enclavize.resources import native_file
from support.command import Command
from support.images import directory, file, symlink, whiteout
from support.tampering import TamperedImage, changes_of_documents, changes_of_members, flipped, some_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.tampering import Change

    from .conftest import Lab

pytestmark = pytest.mark.integration

OWN_LAYERS = 2
INSTANCE = ".enclave/instance"
MANIFEST = f"{INSTANCE}/app.manifest.sgx"
NOT_MEASURED = (
    ".enclave/bin/runelet",
    ".enclave/gramine/direct/",
    ".enclave/gramine/host/",
    ".enclave/gramine/sgx/loader",
)
"""Outside the enclave: what they should be is known from elsewhere (docs/gramine.md, section 3)."""


@pytest.fixture(scope="module")
def verify(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Return what verifies an image and returns what was said; the exit code is 1 or as told."""
    command = Command(base=tmp_path_factory.mktemp("verify"), native=native_file("runelet").parent)

    def run(name: str, code: int = 1, toolchain: Path = lab.toolchain) -> str:
        key = lab.converter.key.with_name("enclave-key.pub.pem")
        return command.run("verify", name, "--signer", key, "--toolchain", toolchain, code=code).stderr

    return run


def accepted(
    verify: Callable[..., str], built: Path, copy: Path, changes: list[Change], *, redescribed: bool = False
) -> list[str]:
    """Return the names of the changes that were not refused, or not with a message."""
    found = []
    for name, change in changes:
        image = TamperedImage(built, copy)
        change(image)
        if redescribed:
            image.redescribe()
        try:
            message = verify(image.save())
        except AssertionError as error:
            found.append(f"{name}: {error}")
        else:
            if "ERROR" not in message:
                found.append(f"{name}: {message}")
    return found


def test_an_untouched_copy_is_accepted(verify: Callable[..., str], built: Path, tmp_path: Path) -> None:
    verify(TamperedImage(built, tmp_path / "copy").save(), code=0)


def test_every_changed_member_is_refused(verify: Callable[..., str], built: Path, tmp_path: Path) -> None:
    changes = changes_of_members(TamperedImage(built, tmp_path / "copy"), OWN_LAYERS)
    assert len(changes) > 100
    assert accepted(verify, built, tmp_path / "copy", some_of(changes)) == []


def test_every_lie_in_a_document_is_refused(verify: Callable[..., str], built: Path, tmp_path: Path) -> None:
    assert accepted(verify, built, tmp_path / "copy", changes_of_documents()) == []


def test_what_is_measured_is_refused_whatever_the_description_says(
    verify: Callable[..., str], built: Path, tmp_path: Path
) -> None:
    image = TamperedImage(built, tmp_path / "copy")
    trusted = trusted_uris(image)
    changes: list[Change] = []
    for member in [member for layer in image.layers[-OWN_LAYERS:] for member in layer if member.data]:
        path = member.path
        measured = path in (MANIFEST, f"{INSTANCE}/app.sig", ".enclave/gramine/sgx/libpal.so")
        if not (measured or f"file:/{path}" in trusted or path == ".enclave/gramine/libsysdb.so"):
            continue
        assert not path.startswith(NOT_MEASURED)
        changes.append((path, lambda image, path=path: image.change_data(path, early_bit)))  # type: ignore[misc]
    assert len(changes) >= 4
    assert accepted(verify, built, tmp_path / "copy", changes, redescribed=True) == []


def early_bit(data: bytes) -> bytes:
    """Change a bit of what is loaded of an ELF file; what follows the segments does not matter."""
    return data[:9] + bytes([data[9] ^ 1]) + data[10:]


def trusted_uris(image: TamperedImage) -> set[str]:
    text = next(member.data for member in image.layers[-1] if member.path == MANIFEST)
    return {item["uri"] for item in tomllib.loads(text.decode())["sgx"]["trusted_files"]}


def test_what_is_added_or_changed_around_is_refused(
    verify: Callable[..., str], built: Path, tmp_path: Path
) -> None:
    def own(path: str) -> Callable[[TamperedImage], object]:
        return lambda image: image.layers[-1].append(file(path, "x", 0o444))

    changes: list[Change] = [
        ("a file on top", lambda image: image.add_layer([file("srv/data", "evil\n")])),
        ("a whiteout on top", lambda image: image.add_layer([whiteout("srv/data")])),
        ("the same on top", lambda image: image.add_layer(image.layers[-1])),
        ("an empty layer on top", lambda image: image.add_layer([])),
        ("no PAL", lambda image: image.remove_layer(-2)),
        ("no instance", lambda image: image.remove_layer(-1)),
        ("no source", lambda image: image.remove_layer(0)),
        ("a file beside", own("srv/more")),
        ("a file of the source", lambda image: image.layers[0].append(file("usr/lib/more.so", "x"))),
        ("a preloaded library", lambda image: image.layers[0].append(file("etc/ld.so.preload", "/srv/data"))),
        ("a file below", own(".enclave/more")),
        ("a library that is none", own(".enclave/gramine/host/evil")),
        (
            "a link below",
            lambda image: image.layers[-1].append(symlink(".enclave/instance/x", "/etc/shadow")),
        ),
        ("a folder below", lambda image: image.layers[-1].append(directory(".enclave/x", 0o555))),
        ("a folder of the source", lambda image: image.layers[0].append(directory(".enclave/x", 0o555))),
        ("twice", lambda image: image.layers[-1].append(image.layers[-1][-1])),
        ("a changed file", lambda image: image.change_data("srv/data", flipped)),
        ("a removed file", lambda image: image.change("srv/data", lambda _: None)),
        (
            "a link in place of a file",
            lambda image: image.change(
                "srv/data", lambda member: replace(member, type=b"2", data=b"", link="x")
            ),
        ),
        (
            "another target of a link",
            lambda image: image.change("usr/bin/also", lambda member: replace(member, link="/srv/data")),
        ),
    ]
    assert accepted(verify, built, tmp_path / "copy", changes) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["sgx"]["trusted_files"].pop(),
        lambda manifest: manifest["sgx"]["trusted_files"][0].update(sha256="0" * 64),
        lambda manifest: manifest["sgx"]["trusted_files"][0].pop("sha256"),
        lambda manifest: manifest["sgx"].update(allowed_files=["file:/"]),
        lambda manifest: manifest["sgx"].update(enclave_size="0x8000000000000000G", edmm_enable=True),
        lambda manifest: manifest["sgx"].update(enclave_size="0xFFFFFFFFFFFFFFFF"),
        lambda manifest: manifest["sgx"].update(max_threads=1 << 62, enclave_size="0x4000000000000000"),
        lambda manifest: manifest["sgx"].update(max_threads=-1),
        lambda manifest: manifest["loader"]["entrypoint"].pop("sha256"),
        lambda manifest: manifest["loader"].update(entrypoint={"uri": "file:/etc/passwd"}),
        lambda manifest: manifest["loader"].update(insecure__use_host_env=True),
        lambda manifest: manifest.pop("sgx"),
        lambda manifest: manifest.pop("loader"),
    ],
)
def test_a_changed_manifest_is_refused(
    verify: Callable[..., str], built: Path, tmp_path: Path, change: Callable[..., object]
) -> None:
    def rewrite(text: bytes) -> bytes:
        manifest = tomllib.loads(text.decode())
        change(manifest)
        return tomli_w.dumps(manifest).encode()

    image = TamperedImage(built, tmp_path / "copy")
    image.change_data(MANIFEST, rewrite)
    image.redescribe()
    assert "app.manifest.sgx" in verify(image.save()) or "app.sig" in verify(image.save())
