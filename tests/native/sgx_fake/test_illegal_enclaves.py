"""Enclaves that no hardware runs: strict simulation refuses each, and so does the fake."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from enclavize.sgx.measurement import Measurement
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.sgx.structures import Attributes
from enclavize.signing.local import sign_sigstruct
from support.illegal_enclaves import ILLEGAL, LEGAL
from support.sgx_fake import run_judged

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.signing.local import LocalSigner
    from support.sgx_fake import Bench

_ALL_BITS = Attributes(flags=(1 << 64) - 1, xfrm=(1 << 64) - 1)


@pytest.fixture(scope="module")
def illegal(bench: Bench) -> Path:
    return bench.link_with("illegal", "illegal.c", "illegal_enclave.S")


def _sign(measured: str, signer: LocalSigner, *, family: bytes = bytes(16)) -> bytes:
    said = Measurement(
        mrenclave=bytes.fromhex(measured),
        attributes=Attributes(flags=4, xfrm=3),
        attributes_mask=_ALL_BITS,
        misc_select=1,
        misc_mask=0xFFFFFFFF,
        isv_family_id=family,
    )
    return sign_sigstruct(Sigstruct(measurement=said, date=0x20250101), signer).to_bytes()


@pytest.fixture(scope="module")
def sigstructs(
    illegal: Path, signer: LocalSigner, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """One for each enclave, as it is measured."""
    folder = tmp_path_factory.mktemp("sigstructs")
    told = subprocess.run([illegal, "measure"], capture_output=True, text=True, check=True).stdout
    measured = dict(line.split() for line in told.splitlines())
    measured["measurement"] = bytes(32).hex()
    signed = {value: _sign(value, signer) for value in set(measured.values())}
    for name, value in measured.items():
        (folder / name).write_bytes(signed[value])
    (folder / "isv_family").write_bytes(_sign(measured["isv_family"], signer, family=b"F" * 16))
    return {name: folder / name for name in measured}


def _answer(illegal: Path, machine: str, sigstruct: Path) -> str:
    done = run_judged([illegal, machine, sigstruct.name, sigstruct])
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", LEGAL)
def test_enclave_without_a_flaw_runs(name: str, illegal: Path, sigstructs: dict[str, Path]) -> None:
    for machine in ("trap", "step", "hw"):
        assert _answer(illegal, machine, sigstructs[name]).splitlines()[0] == "ENCLU 0"


@pytest.mark.parametrize("name", ILLEGAL)
def test_strict_simulation_refuses(name: str, illegal: Path, sigstructs: dict[str, Path]) -> None:
    flaw = ILLEGAL[name]
    seen = _answer(illegal, "step" if flaw.steps else "trap", sigstructs[name])
    assert all(part in seen for part in flaw.simulated), seen


@pytest.mark.parametrize("name", [name for name, flaw in ILLEGAL.items() if flaw.hardware])
def test_fake_of_hardware_refuses_the_same(name: str, illegal: Path, sigstructs: dict[str, Path]) -> None:
    seen = _answer(illegal, "hw", sigstructs[name])
    assert all(part in seen for part in ILLEGAL[name].hardware), seen
