"""Images for Gramine, from the command line to the verified TEE image. Nothing is run."""

from __future__ import annotations

import json
import re
import tarfile
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from support.images import file, symlink
from support.programs import SAMPLES
from support.tampering import TamperedImage

from .conftest import CONFIG, layers_of, manifest_of, member

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.images import Member

    from .conftest import Lab

pytestmark = pytest.mark.integration

SHARED_LIMIT = 30 << 20
BUILD_TOOLS = ("python", "bash", "gcc", "sign", ".a", ".py", "jinja", "openssl")


def public_key(lab: Lab) -> str:
    return str(lab.converter.key.with_name("enclave-key.pub.pem"))


def config_file(lab: Lab, text: str) -> str:
    path = lab.base / "enclavize.toml"
    path.write_text(text)
    return str(path)


def names(layer: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(layer) as archive:
        return {item.name: item for item in archive}


def test_an_image_is_built_and_verified(lab: Lab, built: Path) -> None:
    done = lab.verify(built)
    assert re.search(r"trusted +true", done.stdout)


def test_the_manifest_says_what_the_image_says(built: Path) -> None:
    manifest = tomllib.loads(manifest_of(built).decode())
    assert manifest["libos"]["entrypoint"] == "/usr/bin/probe"
    assert manifest["loader"]["argv"] == ["probe", "show"]
    assert manifest["loader"]["env"] == {"PATH": "/bin", "LINES": 'a\nb"c\\', "HOME": "/srv"}
    assert (manifest["loader"]["uid"], manifest["loader"]["gid"]) == (7, 8)
    assert manifest["sgx"]["debug"] is False
    assert {"type": "chroot", "path": "/etc/hosts", "uri": "file:/.enclave/instance/network/hosts"} in (
        manifest["fs"]["mounts"]
    )
    uris = [item["uri"] for item in manifest["sgx"]["trusted_files"]]
    assert uris == sorted(uris)
    assert {"file:/usr/bin/also", "file:/usr/bin/probe"} < set(uris)
    assert manifest["fs"]["mounts"][0] == {"type": "chroot", "path": "/bin", "uri": "file:/usr/bin"}
    assert "file:/etc/hosts" not in uris


def test_two_builds_are_identical(lab: Lab, source: str, built: Path) -> None:
    again = lab.build(source, "again", "--no-cache")
    assert (again / "index.json").read_bytes() == (built / "index.json").read_bytes()


def test_all_images_share_one_layer_that_has_no_build_tool(
    lab: Lab, built: Path, probe: Path, record_property: Callable[[str, object], None]
) -> None:
    other = lab.image("other", [file("app", probe.read_bytes(), 0o755)], {"Entrypoint": ["/app"]})
    shared = layers_of(built)[-2]
    assert layers_of(lab.build(other, "other"))[-2].read_bytes() == shared.read_bytes()
    found = names(shared)
    assert all(name == ".enclave" or name.startswith(".enclave/") for name in found)
    assert not [name for name in found if any(tool in name for tool in BUILD_TOOLS)]
    assert ".enclave/gramine/sgx/loader" in found
    size = shared.stat().st_size
    record_property("shared_layer_bytes", size)
    print(f"the layer of Gramine has {size / (1 << 20):.1f} MiB")
    assert size < SHARED_LIMIT


def test_one_changed_byte_changes_the_measurement(lab: Lab, members: list[Member], built: Path) -> None:
    changed = [item for item in members if item.path != "srv/data"] + [file("srv/data", "Data\n")]
    other = lab.build(lab.image("changed", changed, CONFIG), "changed")
    assert _mrenclave(lab, other) != _mrenclave(lab, built)
    assert lab.converter.run("diff", f"oci:{built}", f"oci:{other}", check=False).stdout.count("/srv/data")


def _mrenclave(lab: Lab, layout: Path) -> str:
    text = lab.converter.run("inspect", f"oci:{layout}", "--format", "json").stdout
    found = json.loads(text)
    return str(found.get("mrenclave") or found["enclave"]["mrenclave"])


@pytest.mark.parametrize(
    ("layer", "name", "message"),
    [
        (0, "srv/data", "/srv/data is another file"),
        (-2, ".enclave/gramine/libsysdb.so", "libsysdb.so"),
        (-2, ".enclave/gramine/sgx/libpal.so", "libpal.so"),
        (-1, ".enclave/instance/app.manifest.sgx", "app.manifest.sgx"),
        (-1, ".enclave/instance/network/hosts", "hosts"),
    ],
)
def test_a_changed_file_is_refused(lab: Lab, built: Path, layer: int, name: str, message: str) -> None:
    image = TamperedImage(built, lab.base / "tampered")
    assert any(member.path == name for member in image.layers[layer])
    image.change_data(name, lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    image.save()
    done = lab.verify(image.root, check=False)
    assert done.returncode
    assert message in done.stderr


def test_the_policy_is_in_the_manifest_and_shown(lab: Lab, source: str) -> None:
    layout = lab.build(
        source, "open", "--allow-args", "--allow-env", "TOKEN", "--allow-env", "LINES", "--volume", "/data",
        "--allow-host-network-files",
    )  # fmt: skip
    manifest = tomllib.loads(manifest_of(layout).decode())
    assert manifest["loader"]["insecure__use_cmdline_argv"] is True
    assert manifest["loader"]["env"]["TOKEN"] == {"passthrough": True}
    assert manifest["sgx"]["allowed_files"] == [
        "file:/data/", "file:/etc/hosts", "file:/etc/hostname", "file:/etc/resolv.conf",
    ]  # fmt: skip
    defaults = member(layers_of(layout)[-1], ".enclave/instance/defaults")
    assert defaults == b'Cshow\0VLINES=a\nb"c\\\0'
    lab.verify(layout)
    shown = lab.converter.run("inspect", f"oci:{layout}").stdout
    assert "TOKEN" in shown


def test_the_table_of_the_configuration_file_is_merged(lab: Lab, source: str) -> None:
    path = config_file(lab, "[gramine.sys.stack]\nsize = '2M'\n[gramine.sgx]\nedmm_enable = true\n")
    manifest = tomllib.loads(manifest_of(lab.build(source, "table", "--config", path)).decode())
    assert manifest["sys"]["stack"]["size"] == "2M"
    assert manifest["sgx"]["edmm_enable"] is True


def test_the_sample_of_a_configuration_file_builds(lab: Lab, source: str) -> None:
    layout = lab.build(source, "sample", "--config", str(SAMPLES / "gramine" / "enclavize.toml"))
    manifest = tomllib.loads(manifest_of(layout).decode())
    assert (manifest["sgx"]["enclave_size"], manifest["sgx"]["max_threads"]) == ("2G", 35)
    assert manifest["fs"]["mounts"][-1]["key_name"] == "_sgx_mrsigner"
    lab.verify(layout)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--allow-exec=ls"], "cannot run a second command"),
        (["--allow-env", "LD_PRELOAD:unsafe"], "decides which C library runs"),
        (["--set", "memory=1M"], "too small"),
    ],
)
def test_options_that_gramine_cannot_have_are_refused(
    lab: Lab, source: str, options: list[str], message: str
) -> None:
    assert message in lab.refused(source, *options)


def test_contradictions_are_refused(lab: Lab, source: str) -> None:
    path = config_file(lab, "[gramine.sgx]\ndebug = true\n")
    assert "sgx.debug = true contradicts the build" in lab.refused(source, "--config", path)


def test_images_that_cannot_be_converted_are_refused(lab: Lab, members: list[Member]) -> None:
    device = lab.image(
        "device",
        [*members, replace(file("srv/tty"), type=tarfile.CHRTYPE, device=(5, 0))],
        CONFIG,
    )
    assert "character device /srv/tty" in lab.refused(device, "--force", "OCC032")
    command = lab.image("command", members, {"Cmd": ["/bin/probe"]})
    assert "has a CMD alone" in lab.refused(command, "--allow-args")


def test_links_between_folders_do_not_end_the_build(lab: Lab, members: list[Member]) -> None:
    image = lab.image("links", [*members, symlink("srv/up", ".."), symlink("srv/self", ".")], CONFIG)
    text = manifest_of(lab.build(image, "links"))
    assert text.count(b"/srv/data") == 1
