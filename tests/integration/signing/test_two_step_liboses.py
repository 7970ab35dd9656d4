"""Two-step signing of instances of Gramine: the signature is a file of its own."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.stand_in_toolchain import gramine_toolchain

if TYPE_CHECKING:
    from pathlib import Path

    from support.command import Command

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def gramine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gramine_toolchain(tmp_path_factory.mktemp("gramine") / "prefix")


def digest_of(layout: Path) -> str:
    digest: str = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    return digest


def test_an_image_of_gramine_is_signed_as_a_key_file_would(
    command: Command, source: str, gramine: Path
) -> None:
    build = ("build", source, "--libos", "gramine", "--toolchain", gramine, "--isvsvn", "2")
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
    command.run("verify", "oci:signed", "--signer", "key.pub.pem", "--min-svn", "2")
