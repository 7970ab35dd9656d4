"""Two-step signing of instances of Gramine, whose signature is a file of its own, and of Occlum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.signed_ways import digest_of, sign_in_two_steps, to
from support.stand_in_toolchain import gramine_toolchain, occlum_toolchain

if TYPE_CHECKING:
    from support.command import Command

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", params=["gramine", "occlum"])
def libos(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Return the options for a LibOS and its toolchain."""
    toolchain = {"gramine": gramine_toolchain, "occlum": occlum_toolchain}[request.param]
    prefix = toolchain(tmp_path_factory.mktemp(request.param) / "prefix")
    is_static = ("--force", "OCC008") if request.param == "occlum" else ()
    return "--libos", request.param, "--toolchain", str(prefix), *is_static


def test_the_image_is_the_one_that_a_key_file_makes(
    command: Command, source: str, libos: tuple[str, ...]
) -> None:
    build = ("build", source, *libos, "--isvsvn", "2")
    command.run("keygen", "key.pem")
    command.run(*build, "--key", "key.pem", *to("by-key"))
    command.run(*build, "--unsigned", *to("unsigned"))
    assert "it is unsigned" in command.run("verify", "oci:unsigned", "--allow-any-signer", code=4).stderr
    sign_in_two_steps(command, "unsigned", "signed", key="key.pem", public_key="key.pub.pem")
    assert digest_of(command, "signed") == digest_of(command, "by-key")
    trust = ("--signer", "key.pub.pem", "--min-svn", "2", "--allow-integrity-only")
    command.run("verify", "oci:signed", *trust, "--toolchain", libos[3])
