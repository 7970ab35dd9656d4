"""No changed TEE image of Occlum is trusted, whatever was changed; the trial is that of builtin images."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from enclavize.tee.expectations import Expectations
from enclavize.tee.host_files import read_host_files
from enclavize.tee.outside import LibosExpectations
from support.command import Command
from support.forgery import TAG, Forgery
from support.images import build_image, write_layout
from support.mutation_trial import Trial
from support.scale import scaled

if TYPE_CHECKING:
    from pathlib import Path

    from support.images import Member

pytestmark = pytest.mark.integration

FAMILIES = (
    "manifest", "configuration", "description", "headers", "members", "file", "signature", "layers", "blob",
)  # fmt: skip
CHANGES = 240
"""How many of each family are tried, at full scale."""


NOT_READ = frozenset(
    {
        # What a linker puts outside of segments is not loaded, and so not measured.
        ".enclave/instance/build/lib/libocclum-libos.signed.so",
        # What the configuration was made from: the LibOS reads the measured one.
        ".enclave/instance/Occlum.json",
    }
)


@pytest.fixture(scope="module")
def trial(members: list[list[Member]], toolchain: Path, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    base = tmp_path_factory.mktemp("mutations")
    command = Command(base=base, native=base)
    config = {"Entrypoint": ["/usr/bin/app"], "Env": ["A=1"]}
    source = write_layout(base / "source", {"1": build_image(members, config=config)})
    for name in ("alice", "mallory"):
        command.run("keygen", f"{name}.pem")
        command.run(
            "build", f"oci:{source}", "--libos", "occlum", "--toolchain", toolchain, "--key", f"{name}.pem",
            "-o", f"type=oci,tar=false,dest={base / name}",
        )  # fmt: skip
    (base / "pins").write_text(command.run("toolchain", "digests", toolchain, "--libos", "occlum").stdout)
    found = json.loads(command.run("inspect", f"oci:{base / 'alice'}", "--format", "json").stdout)
    return Trial(
        alice=Forgery.load(base / "alice"),
        stranger=Forgery.load(base / "mallory"),
        expectations=Expectations(
            signers=frozenset({found["mrsigner"]}),
            libos=LibosExpectations(host_files=(read_host_files(base / "pins"),), allow_integrity_only=True),
        ),
        metadata=False,
        partly_read=NOT_READ,
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_no_changed_image_is_trusted(trial: Trial, tmp_path: Path, family: str) -> None:
    trial.alice.write(tmp_path / "layout")
    assert trial.verdict(f"oci:{tmp_path / 'layout'}:{TAG}") == ""
    trial.run(family, tmp_path / "layout", scaled(CHANGES))
