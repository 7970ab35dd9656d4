"""A key that our own command made in a token, held by the signing service."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.errors import EnclavizeError
from enclavize.sgx.enclave_file import EnclaveConfig, measure_enclave
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.signing.keys import load_public_key
from enclavize.signing.local import sign_sigstruct
from support.command import REPOSITORY
from support.scale import scaled
from support.signing_service import Service, running_service
from support.softhsm import PIN, make_softhsm
from support.vectors import INTEL

if TYPE_CHECKING:
    from support.softhsm import SoftHsm

pytestmark = pytest.mark.integration

REQUESTS = scaled(500, least=24)


@pytest.fixture(scope="module")
def unsigned() -> Sigstruct:
    config = EnclaveConfig(disable_debug=True)
    measurement = measure_enclave(INTEL / "enclaves/enclave_a.so", config).measurement
    return Sigstruct(measurement=measurement, date=0x20261123)


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> SoftHsm:
    """Make a token, and with ``enclavize keygen`` the key "service" in it; public.pem is beside it."""
    folder = tmp_path_factory.mktemp("token")
    made = make_softhsm(folder)
    write_pin(folder, PIN)
    command = [sys.executable, "-m", "enclavize", "keygen", made.uri("service")]
    command += ["--passphrase-file", str(folder / "pin"), "--public-key", str(folder / "public.pem")]
    environment = {**os.environ, **made.environment}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr
    made.environment["PUBLIC_KEY"] = str(folder / "public.pem")
    return made


def write_pin(folder: Path, pin: str, mode: int = 0o600) -> None:
    (folder / "pin").write_text(f"{pin}\n")
    (folder / "pin").chmod(mode)


def options(token: SoftHsm, label: str = "service") -> dict[str, Any]:
    keys = {"main": {"key": token.uri(label), "passphrase_file": "pin"}}
    return {"keys": keys, "environment": token.environment}


def test_many_requests_at_once_are_signed_in_the_token(
    token: SoftHsm, tmp_path: Path, unsigned: Sigstruct
) -> None:
    write_pin(tmp_path, PIN)
    public_key = load_public_key(Path(token.environment["PUBLIC_KEY"]))
    with running_service(tmp_path, {"ci": {}}, **options(token)) as service:
        client = service.client("ci")
        assert client.public_key == public_key

        def sign(number: int) -> Sigstruct:
            measurement = replace(unsigned.measurement, isv_svn=number)
            return sign_sigstruct(replace(unsigned, measurement=measurement), client)

        with ThreadPoolExecutor(8) as pool:
            signed = list(pool.map(sign, range(REQUESTS)))
        for number, sigstruct in enumerate(signed):
            sigstruct.verify()
            assert sigstruct.measurement.isv_svn == number
        assert {sigstruct.modulus for sigstruct in signed} == {
            public_key.public_numbers().n.to_bytes(384, "little")
        }
    assert [entry["event"] for entry in service.audit()].count("signed") == REQUESTS
    text = (tmp_path / "log").read_text() + (tmp_path / "audit.jsonl").read_text()
    assert PIN not in text


@pytest.mark.parametrize(
    ("pin", "mode", "label_and_message"),
    [
        ("wrong-pin", 0o600, ("service", "the PIN is wrong")),
        (PIN, 0o644, ("service", "every user of this machine can read")),
        (PIN, 0o600, ("other", "no private RSA key of this name")),
    ],
)
def test_a_service_without_its_key_does_not_start(
    token: SoftHsm, tmp_path: Path, pin: str, mode: int, label_and_message: tuple[str, str]
) -> None:
    label, message = label_and_message
    service = Service(folder=tmp_path, clients={"ci": {}}, **options(token, label))
    service.prepare()
    write_pin(tmp_path, pin, mode)
    command = [sys.executable, "-m", "enclavize", "signer", "serve", "--config", str(service.write_config())]
    environment = {**os.environ, **token.environment}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, check=False, text=True, timeout=60
    )
    assert done.returncode > 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert pin not in done.stderr
    assert not (tmp_path / "audit.jsonl").exists()


def test_a_key_that_goes_away_is_a_typed_error(token: SoftHsm, tmp_path: Path, unsigned: Sigstruct) -> None:
    """The token's files vanish under the running service, as a device that is unplugged."""
    write_pin(tmp_path, PIN)
    tokens = Path(token.environment["SOFTHSM2_CONF"]).parent / "tokens"
    with running_service(tmp_path, {"ci": {}}, **options(token)) as service:
        sign_sigstruct(unsigned, service.client("ci"))
        away = tokens.rename(tokens.with_name("away"))
        try:
            with pytest.raises(EnclavizeError, match="the key cannot be used now"):
                sign_sigstruct(unsigned, service.client("ci"))
            assert service.audit()[-1]["event"] == "failed"
        finally:
            away.rename(tokens)
        # SoftHSM gives a token up that once was away; other modules take the session that is opened anew.
        assert service.stop() == 0
        service.start()
        sign_sigstruct(unsigned, service.client("ci"))
