"""Images for releases whose file systems have other records: verified, compared and signed as all others."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from integration.occlum.test_tee_images import INSTANCE, facts, unpacked
from support.images import file
from support.signing_service import running_service
from support.stand_in_toolchain import stand_in_occlum
from support.tampering import TamperedImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from integration.occlum.conftest import Converter
    from support.signing_service import Service

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", params=["0.22.0", "0.26.3"])
def older(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a stand-in for a release of each older form."""
    version: str = request.param
    return stand_in_occlum(tmp_path_factory.mktemp(version) / "occlum", version)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    pytest.importorskip("uvicorn", reason="the signing service needs uvicorn")
    with running_service(tmp_path_factory.mktemp("service"), {"ci": {}}) as running:
        yield running


def trusted(converter: Converter, name: str, toolchain: Path, signer: Path) -> bool:
    """Verify, known flaws of old releases aside."""
    command = ("verify", name, "--signer", signer, "--toolchain", toolchain, "--allow-integrity-only")
    first = converter.command.finish(*command)
    flaws = re.findall(r"has the known flaw ([\w-]+)", first.stderr)
    done = converter.command.finish(*command, *(f"--allow-flaw={flaw}" for flaw in set(flaws)))
    return done.returncode == 0 and re.search(r"trusted +true", done.stdout) is not None


def test_an_image_is_verified_and_compared(
    converter: Converter, make: Callable[..., str], older: Path
) -> None:
    first = converter.build(make(), "first", "--toolchain", older)
    other = converter.build(make([file("data/changed", "neW\n")]), "other", "--toolchain", older)
    assert trusted(converter, first, older, converter.key.with_name("key.pub.pem"))
    done = converter.command.finish("diff", first, other)
    assert "data/changed" in done.stdout
    assert "data/large" not in done.stdout


def test_the_commands_recognise_the_form(
    converter: Converter, make: Callable[..., str], older: Path, tmp_path: Path
) -> None:
    tree = unpacked(converter.build(make(), "tee", "--toolchain", older), tmp_path / "tree")
    root = tree / INSTANCE / "build" / "mount" / "__ROOT"
    command = converter.command
    mac = command.run("occlum", "sefs", "verify", root).stdout.strip()
    command.run("occlum", "sefs", "unpack", root, "again", "--root-mac", mac)
    assert (command.base / "again" / "data" / "changed").read_text() == "new\n"
    release = next(older.glob("build/lib/libocclum-libos.so.0.*")).name.removeprefix("libocclum-libos.so.")
    packed = command.run("occlum", "sefs", "pack", "again", "packed", "--release", release).stdout.strip()
    assert packed == mac
    assert command.run("occlum", "sefs", "pack", "again", "newest").stdout.strip() != mac


def test_an_instance_is_built(converter: Converter, older: Path) -> None:
    command = converter.command
    command.run("occlum", "new", "instance", "--toolchain", older)
    configuration = command.base / "instance" / "Occlum.json"
    assert "kernel_space_heap_max_size" not in json.loads(configuration.read_text())["resource_limits"]
    command.run("occlum", "build", "-C", "instance", "--toolchain", older, "--sign-key", converter.key)
    root = command.base / "instance" / "build" / "mount"
    mac = (root / ".ROOT_MAC").read_text().strip()
    assert command.run("occlum", "sefs", "verify", root / "__ROOT", "--root-mac", mac).stdout.strip() == mac


def test_it_is_signed_in_two_steps(converter: Converter, make: Callable[..., str], older: Path) -> None:
    source, command = make(), converter.command
    wanted = facts(converter, converter.build(source, "tee", "--toolchain", older))
    command.run(
        "build", source, "--libos", "occlum", "--toolchain", older, "--unsigned", "-o",
        "type=oci,tar=false,dest=unsigned",
    )  # fmt: skip
    command.run("sign", "material", "oci:unsigned", "-o", "material")
    openssl = ["openssl", "dgst", "-sha256", "-sign", str(converter.key), "-out", "signature", "material"]
    subprocess.run(openssl, cwd=command.base, check=True)
    command.run(
        "sign", "attach", "oci:unsigned", "--material", "material", "--signature", "signature",
        "--public-key", converter.key.with_name("key.pub.pem"), "-o", "type=oci,tar=false,dest=signed",
    )  # fmt: skip
    assert facts(converter, f"oci:{command.base / 'signed'}")["digest"] == wanted["digest"]


def test_a_service_signs_it(
    converter: Converter, make: Callable[..., str], older: Path, service: Service
) -> None:
    source = make()
    wanted = facts(converter, converter.build(source, "tee", "--toolchain", older))
    converter.command.run(
        "build", source, "--libos", "occlum", "--toolchain", older, "--signer", service.url,
        "--signer-token-file", service.folder / "ci.token", "--signer-ca", service.ca, "-o",
        "type=oci,tar=false,dest=by-service",
    )  # fmt: skip
    name = f"oci:{converter.command.base / 'by-service'}"
    found = facts(converter, name)
    assert found["mrenclave"] == wanted["mrenclave"]
    assert found["mrsigner"] != wanted["mrsigner"]
    assert trusted(converter, name, older, service.folder / "main.pub.pem")


def test_records_of_another_release_are_refused(
    converter: Converter, make: Callable[..., str], older: Path, tmp_path: Path
) -> None:
    """The LibOS would end in the middle of its start: 0.21.0 and 0.26.3 were seen to."""
    name = converter.build(make(), "tee", "--toolchain", older)
    version = facts(converter, name)["libos"]["version"]
    for claimed in ("0.22.0", "0.26.3", "0.31.0"):
        copy = claims(converter.command.base / "tee", tmp_path / claimed, version, claimed)
        done = converter.command.finish(
            "verify", f"oci:{copy}", "--signer", converter.key.with_name("key.pub.pem"),
            "--allow-integrity-only",
        )  # fmt: skip
        wrong = f"the file system images are not those of Occlum {claimed}"
        assert (wrong in done.stderr) is (claimed != version)


def claims(layout: Path, copy: Path, version: str, claimed: str) -> Path:
    """Return a copy that says to be of another version wherever it says so."""
    image = TamperedImage(layout, copy)
    image.describe(lambda description: description["libos"].update(version=claimed))
    for said in (image.config["config"]["Labels"], image.manifest["annotations"]):
        said.update({key: claimed for key, value in said.items() if value == version})
    image.save()
    return copy
