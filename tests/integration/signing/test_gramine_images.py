"""Images of real programs for Gramine: each is verified, compared with its next build, signed, and runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclavize.signing.keys import public_key_pem
from integration.compat.ingredients import text
from integration.compat.server_runs import STARTED, image_of, ran, real_gramine
from integration.compat.servers_table import SERVERS
from support.scale import scaled
from support.signed_ways import compared, sign_in_every_way, to
from support.signing_service import running_service
from support.stand_in_toolchain import gramine_toolchain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.compat.servers_table import Server
    from support.command import Command
    from support.signing_service import Service

pytestmark = pytest.mark.integration

NAMES = (
    "lua", "twenty-children", "python-subprocess", "nginx-tmpfs-logs", "redis-gosu", "volume", "node",
    "uvicorn", "java", "r", "here-string", "chpst-id", "memcached", "script-writes-tmpfs",
)  # fmt: skip
CASES = [case for name in NAMES[: scaled(2 * len(NAMES), least=2)] for case in SERVERS if case.name == name]
NEXT = text("etc/release", "2\n")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("service"), {"ci": {}}) as running:
        yield running


@pytest.fixture(scope="module")
def toolchain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gramine_toolchain(tmp_path_factory.mktemp("gramine") / "prefix")


def build_of(source: str, toolchain: Path, case: Server) -> tuple[str | Path, ...]:
    return "build", source, "--libos", "gramine", "--toolchain", toolchain, *case.options


def signed(command: Command, service: Service, toolchain: Path, case: Server) -> None:
    """Build an image and sign it in every way; verify what the service and two steps have made."""
    build = build_of(image_of(case, command.base), toolchain, case)
    (command.base / "pub.pem").write_bytes(public_key_pem(service.client("ci").public_key))
    sign_in_every_way(command, service, build, "pub.pem")
    for name in ("two-step", "by-service"):
        command.run("verify", f"oci:{name}", "--signer", "pub.pem", "--toolchain", toolchain)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_image_is_signed_in_every_way_and_told_from_its_next_build(
    command: Command, service: Service, toolchain: Path, case: Server
) -> None:
    signed(command, service, toolchain, case)
    assert compared(command, "two-step", "by-service")["equal"]

    following = image_of(case, command.base, NEXT, name="next-source")
    build = build_of(following, toolchain, case)
    command.run(*build, "--key", service.folder / "main.pem", *to("next"))
    command.run("verify", "oci:next", "--signer", "pub.pem", "--toolchain", toolchain)
    differs = compared(command, "by-key", "next")
    assert {"mrenclave", "measured.sgx.trusted_files"} <= set(differs["facts"])
    assert "etc/release" in str(differs)


@pytest.mark.timeout(3 * STARTED)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_was_signed_in_two_steps_runs(
    command: Command, service: Service, tmp_path: Path, case: Server
) -> None:
    signed(command, service, Path(real_gramine()), case)
    printed, code, said = ran(
        command.variables(), command.base / "two-step", tmp_path, text=case.prints, fails=case.fails
    )
    assert printed, (code, said)
