"""Keys of the signing service in PEM files: encrypted ones, and those with which it does not start."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization

from enclavize.sgx.enclave_file import EnclaveConfig, measure_enclave
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.signing.keys import generate_key, load_private_key
from enclavize.signing.local import sign_sigstruct
from support.command import REPOSITORY
from support.signing_service import Service, running_service
from support.vectors import INTEL

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

PASSPHRASE = "a passphrase"


def prepare(folder: Path, name: str, key: dict[str, str]) -> Service:
    """Make a service with the encrypted key "secret.key", whose passphrase is in "passphrase"."""
    generate_key(folder / "plain")
    private_key = load_private_key(folder / "plain")
    encrypted = private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(PASSPHRASE.encode()),
    )
    for file, content in (("secret.key", encrypted), ("passphrase", f"{PASSPHRASE}\n".encode())):
        (folder / file).write_bytes(content)
        (folder / file).chmod(0o600)
    return Service(folder=folder, clients={"ci": {"key": name}}, keys={name: key})


def test_a_key_is_decrypted_with_the_passphrase_of_a_file(tmp_path: Path) -> None:
    made = prepare(tmp_path, "main", {"key": "secret.key", "passphrase_file": "passphrase"})
    config = EnclaveConfig(disable_debug=True)
    measurement = measure_enclave(INTEL / "enclaves/enclave_a.so", config).measurement
    with running_service(tmp_path, made.clients, keys=made.keys) as service:
        signed = sign_sigstruct(Sigstruct(measurement=measurement, date=0x20261123), service.client("ci"))
    assert signed.public_key() == load_private_key(tmp_path / "plain").public_key()
    assert PASSPHRASE not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("no passphrase", "passphrase"),
        ("wrong passphrase", "passphrase"),
        ("readable passphrase", "every user of this machine can read"),
        ("readable key", "read"),
        ("missing", "cannot read"),
        ("no key", "key"),
        ("twice", "are the same key"),
    ],
)
def test_it_does_not_start_with_a_bad_key(tmp_path: Path, case: str, message: str) -> None:
    service = prepare(tmp_path, "main", {"key": "secret.key", "passphrase_file": "passphrase"})
    match case:
        case "no passphrase":
            service.keys["main"] = {"key": "secret.key"}
        case "wrong passphrase":
            (tmp_path / "passphrase").write_text("another\n")
        case "readable passphrase":
            (tmp_path / "passphrase").chmod(0o644)
        case "readable key":
            (tmp_path / "secret.key").chmod(0o644)
        case "missing":
            (tmp_path / "secret.key").unlink()
        case "no key":
            (tmp_path / "secret.key").write_text("nonsense")
        case _:
            service.keys["other"] = {"key": "plain"}
    service.prepare()
    command = [sys.executable, "-m", "enclavize", "signer", "serve", "--config", str(service.write_config())]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False, text=True, timeout=60)
    assert done.returncode > 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert PASSPHRASE not in done.stderr
