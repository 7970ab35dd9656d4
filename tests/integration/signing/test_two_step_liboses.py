"""Two-step signing of instances of Gramine, whose signature is a file of its own, and of Occlum."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.stand_in_toolchain import gramine_toolchain, occlum_toolchain

if TYPE_CHECKING:
    from pathlib import Path

    from support.command import Command

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", params=["gramine", "occlum"])
def libos(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Return the options for a LibOS and its toolchain."""
    toolchain = {"gramine": gramine_toolchain, "occlum": occlum_toolchain}[request.param]
    prefix = toolchain(tmp_path_factory.mktemp(request.param) / "prefix")
    is_static = ("--force", "OCC008") if request.param == "occlum" else ()
    return "--libos", request.param, "--toolchain", str(prefix), *is_static


def digest_of(layout: Path) -> str:
    digest: str = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    return digest


def test_the_image_is_the_one_that_a_key_file_makes(
    command: Command, source: str, libos: tuple[str, ...]
) -> None:
    build = ("build", source, *libos, "--isvsvn", "2")
    command.run("keygen", "key.pem")
    command.run(*build, "--key", "key.pem", "-o", "type=oci,tar=false,dest=by-key")
    command.run(*build, "--unsigned", "-o", "type=oci,tar=false,dest=unsigned")
    assert "it is unsigned" in command.run("verify", "oci:unsigned", "--allow-any-signer", code=4).stderr
    command.run("sign", "material", "oci:unsigned", "-o", "m.bin")
    openssl = ["openssl", "dgst", "-sha256", "-sign", "key.pem", "-out", "m.sig", "m.bin"]
    subprocess.run(openssl, check=True, cwd=command.base)
    files = ("--material", "m.bin", "--signature", "m.sig", "--public-key", "key.pub.pem")
    command.run("sign", "attach", "oci:unsigned", *files, "-o", "type=oci,tar=false,dest=signed")
    assert digest_of(command.base / "signed") == digest_of(command.base / "by-key")
    trust = ("--signer", "key.pub.pem", "--min-svn", "2", "--allow-integrity-only")
    command.run("verify", "oci:signed", *trust, "--toolchain", libos[3])
