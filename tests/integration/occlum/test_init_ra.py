"""Images and instances whose init gets its keys by remote attestation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from enclavize.libos.occlum.sefs.unpack import unpack
from integration.occlum.test_tee_images import INSTANCE, facts, unpacked
from support.stand_in_toolchain import stand_in_occlum
from unit.libos.occlum.test_init_ra import DOCUMENT, ENCLAVE, OFF

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from integration.occlum.conftest import Converter

pytestmark = pytest.mark.integration

INIT_FILES = (
    "lib/libgrpc_ratls_client.so", "lib/libhw_grpc_proto.so", "lib/libocclum_dcap.so.0.1.0",
    "lib/libcjson.so.1", "lib/ld-musl-x86_64.so.1",
)  # fmt: skip


@pytest.fixture(scope="session")
def with_ratls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a stand-in of the newest release: an installation need not have what this takes."""
    return stand_in_occlum(tmp_path_factory.mktemp("ratls") / "occlum", "0.31.0")


@pytest.fixture
def asked(converter: Converter, with_ratls: Path) -> tuple[str | Path, ...]:
    """Return the options, with a configuration and a key."""
    base = converter.command.base
    (base / "conf.json").write_text(json.dumps(DOCUMENT))
    converter.command.run("occlum", "gen-image-key", "image.key")
    return (
        "--toolchain", with_ratls, "--image-key", base / "image.key", "--init-ra", "grpc_ratls",
        "--init-ra-conf", base / "conf.json",
    )  # fmt: skip


def test_a_production_image_with_its_init(
    converter: Converter,
    make: Callable[..., str],
    asked: tuple[str | Path, ...],
    with_ratls: Path,
    tmp_path: Path,
) -> None:
    name = converter.build(make(), "tee", *asked, "--production")
    init = tmp_path / "init"
    unpack(unpacked(name, tmp_path / "tree") / INSTANCE / "build" / "initfs" / "__ROOT", init)
    programs = with_ratls / "build" / "bin"
    assert (init / "bin" / "init").read_bytes() == (programs / "init_grpc_ratls").read_bytes()
    assert all((init / path).is_file() for path in INIT_FILES)
    assert (init / "etc" / "init_ra_conf.json").read_text() == json.dumps(DOCUMENT)
    assert not (init / "etc" / "image_key").exists()
    assert facts(converter, name)["measured"]["init_ra"] == DOCUMENT
    key = converter.key.with_name("key.pub.pem")
    converter.command.run("verify", name, "--signer", key, "--toolchain", with_ratls)


def test_what_the_init_is_told_is_measured(
    converter: Converter, make: Callable[..., str], asked: tuple[str | Path, ...]
) -> None:
    source = make()
    options = [option for option in asked if "image" not in str(option)]  # a key makes others by itself
    first = facts(converter, converter.build(source, "first", *options))["mrenclave"]
    (converter.command.base / "conf.json").write_text(json.dumps(DOCUMENT | {"kms_server": "other:1"}))
    assert facts(converter, converter.build(source, "other", *options))["mrenclave"] != first


def test_a_service_that_nobody_looks_at_is_told(
    converter: Converter, make: Callable[..., str], asked: tuple[str | Path, ...]
) -> None:
    trusting = DOCUMENT | {"ra_config": {**OFF, "sgx_mrs": [ENCLAVE]}}
    (converter.command.base / "conf.json").write_text(json.dumps(trusting))
    done = converter.command.run(
        "build", make(), "--libos", "occlum", "--key", converter.key, *asked, "-o", "type=oci,dest=x.tar"
    )
    assert "nothing of the key service is compared" in done.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("--builtin-image-key",), "builtin-image-key and init-ra contradict each other"),
        (("--init-ra-conf", "/nowhere"), "cannot read /nowhere"),
        (("--libos", "builtin"), "is for --libos occlum"),
    ],
)
def test_what_cannot_be(
    converter: Converter,
    make: Callable[..., str],
    asked: tuple[str | Path, ...],
    changes: tuple[str, ...],
    message: str,
) -> None:
    assert message in converter.build(make(), "tee", *asked, *changes, code=2)


def test_an_older_release_has_no_such_init(
    converter: Converter, make: Callable[..., str], asked: tuple[str | Path, ...], tmp_path: Path
) -> None:
    older = stand_in_occlum(tmp_path / "older", "0.29.5")
    said = converter.build(make(), "tee", *asked, "--toolchain", older, code=2)
    assert "Occlum 0.29.5 has no init for remote attestation" in said


def test_secrets_have_a_folder(
    converter: Converter, make: Callable[..., str], asked: tuple[str | Path, ...]
) -> None:
    (converter.command.base / "conf.json").write_text(
        json.dumps(DOCUMENT | {"kms_keys": [{"key": "k", "path": "/secrets/k"}]})
    )
    assert "/secrets/k is to be written to, and there is no folder" in converter.build(
        make(), "tee", *asked, code=2
    )


def test_an_instance_is_made_to_be_filled_in(converter: Converter, with_ratls: Path) -> None:
    command = converter.command
    command.run("occlum", "new", "instance", "--toolchain", with_ratls, "--init-ra", "grpc_ratls")
    folder = command.base / "instance"
    assert all((folder / "initfs" / path).is_file() for path in INIT_FILES)
    build = ("occlum", "build", "-C", folder, "--toolchain", with_ratls, "--sign-key", converter.key)
    assert "mr_signer is empty" in command.run(*build, code=2).stderr
    (folder / "init_ra_conf.json").write_text(json.dumps(DOCUMENT))
    command.run("occlum", "gen-image-key", "image.key")
    key = ("--image-key", command.base / "image.key")
    assert "by remote attestation" in command.run(*build, *key, "--buildin-image-key", code=2).stderr
    command.run(*build, *key)
    unpack(folder / "build" / "initfs" / "__ROOT", command.base / "init")
    assert (command.base / "init" / "etc" / "init_ra_conf.json").read_text() == json.dumps(DOCUMENT)
    (folder / "init_ra_conf.json").unlink()
    assert "cannot read" in command.run(*build, *key, code=2).stderr
