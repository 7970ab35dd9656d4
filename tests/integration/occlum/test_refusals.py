"""Builds for Occlum that are refused, before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.images import file
from support.stand_in_toolchain import stand_in_occlum

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from integration.occlum.conftest import Converter
    from support.images import Member

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("options", "table", "message"),
    [
        (("--volume", "/v"), "", "Occlum cannot keep a program from running files of the host"),
        (("--volume", "/v:ro:exec"), "", "Occlum cannot mount a folder of the host read-only"),
        (("--volume", "/run:exec"), "", "/run would hide /run/rune/occlum_instance, which the enclave needs"),
        (("--volume", "/etc/hosts:exec"), "", "/etc/hosts would hide /etc/hosts"),
        (("--volume", f"/{'v' * 300}:exec"), "", "a path that is too long for a layer"),
        (
            (),
            f'mount = [{{target = "/v", type = "hostfs", source = "/{"v" * 300}"}}]',
            "a path that is too long for a layer",
        ),
        (("--allow-exec=app",), "", "Occlum starts programs by absolute paths alone"),
        (("--builtin-image-key",), "", "builtin-image-key needs a key"),
        (("--set", "memory=16MiB"), "", "no process could start"),
        ((), "metadata.product_id = 3", "metadata.product_id is given by --isvprodid"),
        ((), "metadata.debuggable = true", "metadata.debuggable is given by --debug"),
        ((), 'image-key = "/nowhere"', "cannot read /nowhere"),
        ((), "image-key = 3", "image-key is not the name of a file"),
        ((), "edmm = 1", "edmm is neither true nor false"),
        ((), "colour = 1", "colour is unknown"),
        ((), 'resource_limits.user_space_size = "1,5GB"', "a size is a whole number with a unit"),
        ((), 'resource_limits.kernel_space_stack_size = "5KB"', "not a multiple of 4096 bytes"),
        ((), 'entry_points = ["app"]', "not an absolute path"),
        ((), 'mount = [{target = "/", type = "ramfs"}]', "no unionfs at /"),
        (
            ("--volume=/tmp/v:exec",),
            'mount = [{target = "/tmp", type = "ramfs"}]',
            "hides mount[1] at /tmp/v",
        ),
        (
            (),
            'mount = [{target = "/w", type = "sefs", source = "./run/w"}]',
            "a TEE image has no instance/run/w to write to",
        ),
    ],
)
def test_what_occlum_would_refuse_is_refused_before_anything_is_written(
    converter: Converter, make: Callable[..., str], options: tuple[str, ...], table: str, message: str
) -> None:
    settings = converter.command.base / "options.toml"
    settings.write_text(f"[occlum]\n{table}\n")
    said = converter.build(
        make(), "tee", "--config", settings, *options, code=2 if "nowhere" not in table else 1
    )
    assert message in said
    assert not (converter.command.base / "tee").exists()
    assert not converter.command.leftovers()


@pytest.mark.parametrize(
    ("more", "config", "message"),
    [
        ([file(b"data/\xff".decode("latin-1").encode("latin-1").decode("utf-8", "surrogateescape"))], {},
         "the name is not UTF-8"),
        ([], {"Entrypoint": ["/usr/bin/none"]}, "none"),
        ([file("dev", "a file")], {}, "/dev of the image is a file"),
        ([file("tmp", "a file")], {}, "/tmp of the image is a file"),
    ],
)  # fmt: skip
def test_an_image_that_occlum_cannot_hold_is_refused(
    converter: Converter, make: Callable[..., str], more: list[Member], config: dict[str, Any], message: str
) -> None:
    assert message in converter.build(make(more, **config), "tee", code=3)
    assert not (converter.command.base / "tee").exists()


def test_a_production_build_wants_the_root_file_system_encrypted(
    converter: Converter, make: Callable[..., str]
) -> None:
    done = converter.command.run(
        "build", make(), "--libos", "occlum", "--toolchain", converter.toolchain, "--key", converter.key,
        "--production", "-o", "type=oci,dest=tee.tar", code=4,
    )  # fmt: skip
    assert "--production: the root file system is not encrypted" in done.stderr
    assert not (converter.command.base / "tee.tar").exists()


@pytest.mark.parametrize("version", ["0.20.0", "0.32.0"])
def test_a_toolchain_of_another_version_is_refused(
    converter: Converter, make: Callable[..., str], tmp_path: Path, version: str
) -> None:
    toolchain = stand_in_occlum(tmp_path / "occlum", version)
    said = converter.build(make(), "tee", "--toolchain", toolchain, code=2)
    assert f"instances for Occlum {version} cannot be made" in said


def test_an_enclave_without_room_for_the_mac_is_refused(
    converter: Converter, make: Callable[..., str], tmp_path: Path
) -> None:
    toolchain = stand_in_occlum(tmp_path / "occlum", "0.31.0")
    libos = toolchain / "build" / "lib" / "libocclum-libos.so.0.31.0"
    libos.write_bytes(libos.read_bytes().replace(b".builtin_config", b".builtin_other_"))
    said = converter.build(make(), "tee", "--toolchain", toolchain, code=2)
    assert "has no section .builtin_config: it is not Occlum's" in said
    assert not converter.command.leftovers()
