"""What users choose for Gramine is verified, compared, and signed in every way, as other images are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from enclavize.signing.keys import public_key_pem
from support.images import build_image, directory, file, write_layout
from support.signed_ways import compared, sign_in_every_way, to
from support.signing_service import Service
from support.stand_in_toolchain import glibc_program, gramine_with_attestation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.command import Command

pytestmark = pytest.mark.integration

OPENED = "/bin/app\n/srv/data\n"
CHOICES = {
    ("--only-opened", "opened.txt"): "measured.sgx.trusted_files",
    ("--keep", "/usr/share/doc/app", "--leave-out", "/srv/spare"): "left_out",
    ("--tmpfs", "/var/lib/app"): "measured.fs.mounts",
    ("--ra-tls", "--secret-provisioning", "https://secrets.example:4433"): "measured.loader.env.LD_PRELOAD",
}
"""Options, and what ``diff`` names in comparison to an image without them."""


@dataclass(frozen=True, kw_only=True)
class Laboratory:
    """A toolchain with the libraries of attestation, an image of a distribution, a service that signs."""

    toolchain: Path
    source: str
    service: Service

    def build(self, *options: str | Path) -> tuple[str | Path, ...]:
        return "build", self.source, "--libos", "gramine", "--toolchain", self.toolchain, *options


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    base = tmp_path_factory.mktemp("gramine")
    image = build_image(
        [
            [
                directory("bin"),
                *glibc_program(base, "bin/app"),
                directory("etc"),
                file("etc/os-release", "ID=debian\n"),
                file("etc/ca.pem", "certificate\n"),
                directory("srv"),
                file("srv/data", "data\n"),
                file("srv/spare", "spare\n"),
                directory("usr/share/doc/app"),
                file("usr/share/doc/app/changelog", "new\n"),
                directory("var/lib/app"),
            ]
        ],
        config={"Entrypoint": ["/bin/app"], "Env": ["SECRET_PROVISION_CA_CHAIN_PATH=/etc/ca.pem"]},
    )
    (base / "service").mkdir()
    service = Service(folder=base / "service", clients={"ci": {}}, keys={"main": {"key": "main.pem"}})
    service.prepare()
    service.start()
    yield Laboratory(
        toolchain=gramine_with_attestation(base / "prefix"),
        source=f"oci:{write_layout(base / 'layout', {'1': image})}:1",
        service=service,
    )
    assert service.stop() == 0


@pytest.mark.parametrize(("choice", "fact"), CHOICES.items(), ids=["traced", "left-out", "tmpfs", "attested"])
def test_a_choice_is_verified_compared_and_signed_in_every_way(
    command: Command, laboratory: Laboratory, choice: tuple[str, ...], fact: str
) -> None:
    (command.base / "opened.txt").write_text(OPENED)
    service = laboratory.service
    (command.base / "pub.pem").write_bytes(public_key_pem(service.client("ci").public_key))
    command.run(*laboratory.build(), "--key", service.folder / "main.pem", *to("plain"))
    sign_in_every_way(command, service, laboratory.build(*choice), "pub.pem")
    command.run("verify", "oci:by-key", "--signer", "pub.pem", "--toolchain", laboratory.toolchain)

    assert compared(command, "by-key", "by-service")["equal"]
    differs = compared(command, "plain", "by-key")
    assert {"mrenclave", fact} <= set(differs["facts"])
