"""``enclavize sign``: the material leaves, openssl signs it, and the signature is attached."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from support.command import Command
from support.vectors import INTEL, KEY, PUBLIC_KEY

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

ENCLAVE = INTEL / "enclaves/enclave_a.so"
OTHER_ENCLAVE = INTEL / "enclaves/enclave_b.so"
OTHER_KEY = INTEL / "negative/TEST-ONLY-other.pem"
DATE = ("--date", "2026-11-23")
CONFIG = "<EnclaveConfiguration><ISVSVN>{svn}</ISVSVN></EnclaveConfiguration>"


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Where somebody signs what the command wrote."""

    command: Command

    @property
    def folder(self) -> Path:
        return self.command.base

    def config(self, svn: int = 0) -> Path:
        path = self.folder / f"{svn}.config.xml"
        path.write_text(CONFIG.format(svn=svn))
        return path

    def openssl_signs(self, key: Path = KEY, material: str = "m.bin") -> None:
        command = ["openssl", "dgst", "-sha256", "-sign", str(key), "-out", "m.sig", material]
        subprocess.run(command, check=True, cwd=self.folder)

    def attach(self, enclave: Path | str, *options: str | Path, code: int = 0) -> str:
        files = ("--material", "m.bin", "--signature", "m.sig", "--public-key", PUBLIC_KEY)
        return self.command.run("sign", "attach", enclave, *files, *options, code=code).stderr


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(command=Command(base=tmp_path, native=tmp_path))


def test_an_enclave_file_is_signed_as_by_the_vendors_tool(desk: Desk) -> None:
    config = desk.config()
    desk.command.run("sign", "material", ENCLAVE, "--config", config, *DATE, "-o", "m.bin")
    desk.openssl_signs()
    desk.attach(ENCLAVE, "--config", config, "-o", "signed.so")
    sgx_sign = ["sign", "-enclave", ENCLAVE, "-config", config, "-key", KEY, "-out", "one-step.so"]
    one_step = [sys.executable, "-m", "enclavize.signing.sgx_sign_cli", *sgx_sign, "-date", "2026-11-23"]
    subprocess.run(one_step, check=True, cwd=desk.folder, capture_output=True)
    assert (desk.folder / "signed.so").read_bytes() == (desk.folder / "one-step.so").read_bytes()


def test_a_signed_enclave_file_can_be_signed_by_somebody_else(desk: Desk) -> None:
    config = desk.config()
    desk.command.run("sign", "material", ENCLAVE, "--config", config, *DATE, "-o", "m.bin")
    desk.openssl_signs()
    desk.attach(ENCLAVE, "--config", config, "-o", "signed.so")
    desk.command.run("sign", "material", "signed.so", "-o", "again.bin")
    assert (desk.folder / "again.bin").read_bytes() == (desk.folder / "m.bin").read_bytes()
    desk.attach("signed.so", "-o", "again.so")
    assert (desk.folder / "again.so").read_bytes() == (desk.folder / "signed.so").read_bytes()


def test_material_goes_to_standard_output_too(desk: Desk) -> None:
    arguments = ["sign", "material", str(ENCLAVE), "--config", str(desk.config()), *DATE, "-o", "-"]
    process = desk.command.start(*arguments)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    desk.command.run(*arguments[:-1], "m.bin")
    assert stdout == (desk.folder / "m.bin").read_bytes()
    assert len(stdout) == 256


def test_the_date_is_that_of_source_date_epoch(desk: Desk) -> None:
    dated = Command(base=desk.folder, native=desk.folder, environment={"SOURCE_DATE_EPOCH": "1795392000"})
    dated.run("sign", "material", ENCLAVE, "--config", desk.config(), "-o", "m.bin")
    assert (desk.folder / "m.bin").read_bytes()[20:24] == bytes.fromhex("23112620")


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("other enclave", "for another enclave"),
        ("other configuration", "for another configuration of this enclave: isv_svn"),
        ("other key", "made with another key"),
        ("other data", "of other data than this signing material"),
        ("corrupted signature", "another key, or it is corrupted"),
        ("long signature", "The signature is corrupted: it has 4096 bytes"),
        ("corrupted material", "The signing material is corrupted"),
        ("no material", "Cannot read the signing material m.bin"),
        ("no signature", "Cannot read the signature m.sig"),
        ("onto the input", "would be overwritten"),
        ("no output", "needs one place"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_reason(desk: Desk, case: str, reason: str) -> None:
    config, folder = desk.config(), desk.folder
    enclave, output = folder / "enclave.so", ("-o", "signed.so")
    enclave.write_bytes(ENCLAVE.read_bytes())
    (folder / "signed.so").write_bytes(b"what was there")
    material = ["sign", "material", enclave, "--config", config, *DATE, "-o", "m.bin"]
    desk.command.run(*material)
    desk.openssl_signs()
    signature, code = folder / "m.sig", 1
    match case:
        case "other enclave":
            desk.command.run(*material[:2], OTHER_ENCLAVE, *material[3:])
            desk.openssl_signs()
        case "other configuration":
            desk.command.run(*material[:4], desk.config(svn=7), *material[5:])
            desk.openssl_signs()
        case "other key":
            desk.openssl_signs(OTHER_KEY)
        case "other data":
            desk.openssl_signs(material="enclave.so")
        case "corrupted signature":
            signature.write_bytes(bytes([0, *signature.read_bytes()[1:-1], 0]))
        case "long signature":
            signature.write_bytes(bytes(100_000))
        case "corrupted material":
            (folder / "m.bin").write_bytes((folder / "m.bin").read_bytes()[:-1])
        case "no material":
            (folder / "m.bin").unlink()
            code = 2
        case "no signature":
            signature.unlink()
            code = 2
        case "onto the input":
            output, code = ("-o", "./enclave.so"), 2
        case _:
            output, code = (), 2
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert reason in desk.attach("enclave.so", "--config", config, *output, code=code)
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_an_enclave_without_a_configuration_asks_for_one(desk: Desk) -> None:
    message = desk.command.run("sign", "material", ENCLAVE, "-o", "m.bin", code=2).stderr
    assert "Enclave.config.xml" in message
    assert not (desk.folder / "m.bin").exists()
