"""No changed TEE image of Gramine is trusted, whatever was changed; the trial is that of builtin images."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from enclavize.tee.expectations import Expectations
from enclavize.tee.host_files import read_host_files
from enclavize.tee.outside import LibosExpectations
from support.forgery import TAG, Forgery
from support.mutation_trial import Trial
from support.scale import scaled

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Lab

pytestmark = pytest.mark.integration

FAMILIES = (
    "manifest", "configuration", "description", "headers", "members", "file", "signature", "source", "blob",
)  # fmt: skip
CHANGES = 240
"""How many of each family are tried, at full scale."""


@pytest.fixture(scope="module")
def trial(lab: Lab, built: Path, source: str, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    base = tmp_path_factory.mktemp("mutations")
    pins = base / "pins"
    pins.write_text(
        lab.converter.run("toolchain", "digests", str(lab.toolchain), "--libos", "gramine").stdout
    )
    lab.converter.run("keygen", str(base / "mallory.pem"))
    options = ("--libos", "gramine", "--toolchain", str(lab.toolchain), "--key", str(base / "mallory.pem"))
    lab.converter.run("build", source, *options, "-o", f"type=oci,tar=false,dest={base / 'mallory'}")
    found = json.loads(lab.converter.run("inspect", f"oci:{built}", "--format", "json").stdout)
    return Trial(
        alice=Forgery.load(built),
        stranger=Forgery.load(base / "mallory"),
        expectations=Expectations(
            signers=frozenset({found["mrsigner"]}),
            libos=LibosExpectations(host_files=(read_host_files(pins),)),
        ),
        metadata=False,
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_no_changed_image_is_trusted(trial: Trial, tmp_path: Path, family: str) -> None:
    trial.alice.write(tmp_path / "layout")
    assert trial.verdict(f"oci:{tmp_path / 'layout'}:{TAG}") == ""
    trial.run(family, tmp_path / "layout", scaled(CHANGES))
