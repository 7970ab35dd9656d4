"""Images for simulation, and those with an encrypted root, are signed, verified and compared as others."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from integration.occlum.test_tee_images import facts
from support.images import file
from support.signing_service import running_service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from integration.occlum.conftest import Converter
    from support.signing_service import Service

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("since_0_30")]

SIGNED = "type=oci,tar=false,dest="


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Options of a build, what ``verify`` has to be told, and what it says if it is not."""

    build: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    objection: str = ""


KINDS = {
    "hardware": Kind(
        allow=("--allow-integrity-only",), objection="integrity only, no protection against a determined host"
    ),
    "simulation": Kind(
        build=("--sgx-mode", "SIM", "--image-key", "image.key"), allow=("--allow-simulation",),
        objection="it is for simulation alone: it protects nothing",
    ),
    "encrypted": Kind(build=("--image-key", "image.key")),
}  # fmt: skip


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, converter: Converter) -> Kind:
    converter.command.run("occlum", "gen-image-key", "image.key")
    return KINDS[request.param]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    pytest.importorskip("uvicorn", reason="the signing service needs uvicorn")
    # Without EDMM, Occlum leaves MISCSELECT to the host.
    with running_service(tmp_path_factory.mktemp("service"), {"ci": {"misc_select": "any"}}) as running:
        yield running


def check_trust(converter: Converter, name: str, kind: Kind, signer: Path) -> None:
    """The image is trusted with what its kind needs, and with less it is not."""
    command = ("verify", name, "--signer", signer, "--toolchain", converter.toolchain)
    assert re.search(r"trusted +true", converter.command.run(*command, *kind.allow).stdout)
    if kind.objection:
        assert kind.objection in converter.command.run(*command, code=4).stderr


def test_it_is_signed_in_two_steps(converter: Converter, make: Callable[..., str], kind: Kind) -> None:
    command = converter.command
    command.run(
        "build", make(), "--libos", "occlum", "--toolchain", converter.toolchain, *kind.build, "--unsigned",
        "-o", f"{SIGNED}unsigned",
    )  # fmt: skip
    command.run("sign", "material", "oci:unsigned", "-o", "material")
    openssl = ["openssl", "dgst", "-sha256", "-sign", str(converter.key), "-out", "signature", "material"]
    subprocess.run(openssl, cwd=command.base, check=True)
    public = converter.key.with_name("key.pub.pem")
    command.run(
        "sign", "attach", "oci:unsigned", "--material", "material", "--signature", "signature",
        "--public-key", public, "-o", f"{SIGNED}signed",
    )  # fmt: skip
    signed = f"oci:{command.base / 'signed'}"
    measured = facts(converter, f"oci:{command.base / 'unsigned'}")["mrenclave"]
    assert facts(converter, signed)["mrenclave"] == measured
    check_trust(converter, signed, kind, public)


def test_a_service_signs_it_and_changes_are_named(
    converter: Converter, make: Callable[..., str], kind: Kind, service: Service
) -> None:
    def signed(name: str, content: str) -> str:
        converter.command.run(
            "build", make([file("data/changed", content)]), "--libos", "occlum", "--toolchain",
            converter.toolchain, *kind.build, "--signer", service.url, "--signer-token-file",
            service.folder / "ci.token", "--signer-ca", service.ca, "-o", f"{SIGNED}{name}",
        )  # fmt: skip
        return f"oci:{converter.command.base / name}"

    first, other = signed("first", "one\n"), signed("other", "two\n")
    check_trust(converter, first, kind, service.folder / "main.pub.pem")
    key = ("--image-key", "image.key") if "--image-key" in kind.build else ()
    done = converter.command.finish("diff", first, other, *key)
    assert "data/changed" in done.stdout
    assert "data/large" not in done.stdout
    if key:
        done = converter.command.finish("diff", first, other)
        assert "its files are encrypted" in done.stderr
        assert "data/changed" not in done.stdout
