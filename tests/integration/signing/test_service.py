"""The signing service in its own process, over TLS."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import urllib3

from enclavize.errors import SigningRefusedError, SigningServiceError, UsageError
from enclavize.sgx.enclave_file import EnclaveConfig, measure_enclave
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.sgx.structures import Attributes
from enclavize.signing.local import sign_sigstruct
from enclavize.signing.service.audit import Anchor, verify_chain
from enclavize.signing.service.protocol import HEALTH_PATH, PING_PATH, PUBLIC_KEY_PATH, SIGN_PATH
from support.signing_service import Service, certificate_hash, running_service
from support.softhsm import PIN
from support.vectors import INTEL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.softhsm import SoftHsm

pytestmark = pytest.mark.integration

ANYTHING: dict[str, Any] = {}


@pytest.fixture(scope="module")
def unsigned() -> Sigstruct:
    """A production enclave."""
    config = EnclaveConfig(disable_debug=True, prod_id=3, isv_svn=4)
    measurement = measure_enclave(INTEL / "enclaves/enclave_a.so", config).measurement
    return Sigstruct(measurement=measurement, date=0x20261123)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, unsigned: Sigstruct) -> Iterator[Service]:
    """Run a service whose clients differ in one thing each."""
    folder = tmp_path_factory.mktemp("service")
    listed = {"measurements": [unsigned.mrenclave.hex()]}
    clients: dict[str, dict[str, Any]] = {
        "free": {"key": "free"},
        "listed": {**listed, "product_ids": [3], "min_svn": 4, "max_svn": 9},
        "slow": {**listed, "requests_per_minute": 2},
        "both": listed,
    }
    keys = {"main": {"key": "main.pem"}, "free": {"key": "free.pem"}}
    options = {"client_ca": "ca.pem", "request_timeout": 2}
    made = Service(folder=folder, clients=clients, keys=keys, server=options)
    made.prepare()
    both = [certificate_hash(folder / "client.pem")]
    clients["both"] = {**listed, "certificate_sha256": both}
    clients["certified"] = {
        **listed, "token_sha256": [], "certificate_sha256": [certificate_hash(folder / "other.pem")],
    }  # fmt: skip
    (folder / "certified.token").write_text("none")
    made.start()
    yield made
    assert made.stop() == 0
    assert "Traceback" not in (folder / "log").read_text()


def changed(unsigned: Sigstruct, **values: Any) -> Sigstruct:
    return replace(unsigned, measurement=replace(unsigned.measurement, **values))


def post(
    service: Service, body: bytes, *, token: str = "", headers: dict[str, str] | None = None
) -> urllib3.BaseHTTPResponse:
    pool = urllib3.HTTPSConnectionPool("127.0.0.1", service.port, ca_certs=str(service.ca))
    with pool:
        return pool.request(
            "POST", SIGN_PATH, body=body, retries=False,
            headers={"Authorization": f"Bearer {token}", **(headers or {})},
        )  # fmt: skip


def get(service: Service, path: str, method: str = "GET") -> urllib3.BaseHTTPResponse:
    with urllib3.HTTPSConnectionPool("127.0.0.1", service.port, ca_certs=str(service.ca)) as pool:
        return pool.request(method, path, retries=False)


def test_the_client_gets_a_signature_that_verifies(service: Service, unsigned: Sigstruct) -> None:
    before = len(service.audit())
    signed = sign_sigstruct(unsigned, service.client("listed"))
    signed.verify()
    entry = service.audit()[-1]
    assert len(service.audit()) == before + 1
    assert (entry["event"], entry["client"], entry["key"]) == ("signed", "listed", "main")
    assert entry["mrenclave"] == unsigned.mrenclave.hex()
    assert entry["signature_sha256"] == hashlib.sha256(signed.signature[::-1]).hexdigest()


def test_inclavares_client_finds_its_endpoints_and_json(
    service: Service, unsigned: Sigstruct, tmp_path: Path
) -> None:
    material = unsigned.signed_bytes()
    answer = json.loads(post(service, material, token=service.token("listed")).data)
    assert set(answer) == {"signature", "publicKey"}
    (tmp_path / "m.bin").write_bytes(material)
    (tmp_path / "m.sig").write_bytes(base64.b64decode(answer["signature"]))
    (tmp_path / "pub.pem").write_text(answer["publicKey"])
    command = ["openssl", "dgst", "-sha256", "-verify", "pub.pem", "-signature", "m.sig", "m.bin"]
    assert subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode == 0
    assert get(service, HEALTH_PATH).data == b"ok"
    assert get(service, PING_PATH).data == b"ping"
    assert get(service, "/", "HEAD").status == 200


def test_each_client_has_its_key(service: Service) -> None:
    free, listed = service.client("free").public_key, service.client("listed").public_key
    assert free != listed


@pytest.mark.parametrize("body", [b"", b"x", bytes(255), bytes(256), bytes(257), b"\xff" * 256])
def test_what_is_no_material_is_refused(service: Service, body: bytes) -> None:
    signed = sum(entry["event"] == "signed" for entry in service.audit())
    answer = post(service, body, token=service.token("free"))
    assert answer.status == (413 if len(body) > 256 else 400)
    assert json.loads(answer.data)["error"]
    assert sum(entry["event"] == "signed" for entry in service.audit()) == signed


def test_an_endless_body_is_not_read(service: Service) -> None:
    with suppress(urllib3.exceptions.HTTPError):  # it may close the connection while we are still sending
        assert post(service, bytes(10_000_000), token=service.token("free")).status == 413
    assert service.events()[-1]["status"] == 413


@pytest.mark.parametrize("offset", [0, 30, 44, 127, 136, 232])
def test_material_with_a_wrong_constant_or_reserved_byte_is_refused(
    service: Service, unsigned: Sigstruct, offset: int
) -> None:
    material = bytearray(unsigned.signed_bytes())
    material[offset] ^= 0x55
    assert post(service, bytes(material), token=service.token("free")).status == 400


_MASK = (1 << 64) - 1
ALL = Attributes(flags=_MASK, xfrm=_MASK)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"mrenclave": bytes(32)}, "measurement is not allowed"),
        ({"isv_prod_id": 4}, "product id 4"),
        ({"isv_svn": 3}, "security version 3 is lower than 4"),
        ({"isv_svn": 10}, "security version 10 is higher than 9"),
        ({"isv_family_id": bytes(15) + b"\1"}, f"family id {'00' * 15}01"),
        ({"isvext_prod_id": b"\x7f" + bytes(15)}, f"extended product id 7f{'00' * 15}"),
        ({"attributes": Attributes(flags=0x84, xfrm=3)}, "asks for attributes.*KSS"),
        ({"attributes": Attributes(flags=0x4, xfrm=0x203)}, "asks for features in XFRM.*PKRU"),
        ({"attributes_mask": Attributes(flags=_MASK, xfrm=_MASK ^ 0x200)}, "choose features in XFRM.*PKRU"),
        ({"misc_select": 2}, "asks for bits of MISCSELECT.*CPINFO"),
        ({"misc_mask": 0}, "choose bits of MISCSELECT.*CPINFO, 0xfffffffc"),
        ({"attributes": Attributes(flags=0x6, xfrm=3)}, "asks for attributes.*DEBUG"),
        ({"attributes_mask": Attributes(flags=_MASK ^ 2, xfrm=_MASK)}, "lets the host choose.*DEBUG"),
        ({"attributes": Attributes(flags=0x14, xfrm=3)}, "PROVISIONKEY"),
        ({"attributes_mask": Attributes(flags=_MASK ^ 0x10, xfrm=_MASK)}, "choose.*PROVISIONKEY"),
        ({"attributes": Attributes(flags=0x24, xfrm=3)}, "EINITTOKENKEY"),
        ({"attributes_mask": Attributes(flags=_MASK ^ 0x20, xfrm=_MASK)}, "choose.*EINITTOKENKEY"),
        ({"attributes_mask": Attributes(flags=0, xfrm=0)}, "choose.*DEBUG, PROVISIONKEY"),
        ({"attributes": Attributes(flags=0x1004, xfrm=3)}, "0x1000"),
        ({"vendor": 0x8086}, "vendor 0x8086"),
        ({"swdefined": 1}, "hardware version 0x1"),
        ({"header_type": 1}, "type 0x1"),
    ],
)
def test_the_policy_refuses_with_the_reason(
    service: Service, unsigned: Sigstruct, values: dict[str, Any], reason: str
) -> None:
    asked = changed(unsigned, **{"attributes_mask": ALL, **values})
    with pytest.raises(SigningRefusedError, match=f"status 403.*{reason}"):
        sign_sigstruct(asked, service.client("listed"))
    assert service.audit()[-1]["event"] == "refused"


@pytest.mark.parametrize("date", [0x20261323, 0x2026112A, 1])
def test_a_date_that_is_none_is_refused(service: Service, unsigned: Sigstruct, date: int) -> None:
    with pytest.raises(SigningRefusedError, match="is no date"):
        sign_sigstruct(replace(unsigned, date=date), service.client("listed"))


def test_any_measurement_with_an_own_key(service: Service, unsigned: Sigstruct) -> None:
    sign_sigstruct(changed(unsigned, mrenclave=b"\7" * 32, isv_prod_id=9), service.client("free"))


@pytest.mark.parametrize("header", ["Bearer wrong", "Basic eDp5", "Bearer", "", "Bearer \xe9"])
def test_strangers_are_refused(service: Service, unsigned: Sigstruct, header: str) -> None:
    answer = post(service, unsigned.signed_bytes(), headers={"Authorization": header})
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert get(service, PUBLIC_KEY_PATH).status == 401


def test_certificates(service: Service, unsigned: Sigstruct) -> None:
    folder = service.folder
    sign_sigstruct(unsigned, service.client("both", certificate=folder / "client.pem"))
    sign_sigstruct(unsigned, service.client("x", token_file=None, certificate=folder / "other.pem"))
    with pytest.raises(SigningServiceError, match="401"):  # the token alone
        sign_sigstruct(unsigned, service.client("both"))
    with pytest.raises(SigningServiceError, match="401"):  # the token with another's certificate
        sign_sigstruct(unsigned, service.client("both", certificate=folder / "other.pem"))
    with pytest.raises(SigningServiceError, match="401"):  # the certificate alone
        sign_sigstruct(unsigned, service.client("x", token_file=None, certificate=folder / "client.pem"))
    with pytest.raises(SigningServiceError, match=r"TLS|connection broke"):  # signed by somebody else
        sign_sigstruct(unsigned, service.client("both", certificate=folder / "stranger.pem"))


def test_too_many_requests_are_refused(
    service: Service, unsigned: Sigstruct, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, material = service.token("slow"), unsigned.signed_bytes()
    answers = [post(service, material, token=token) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert 0 < int(answers[2].headers["Retry-After"]) <= 30
    slept: list[float] = []
    monkeypatch.setattr("enclavize.signing.remote.time.sleep", slept.append)
    with pytest.raises(SigningRefusedError, match=r"429.*requests a minute"):
        _ = service.client("slow").public_key
    assert len(slept) == 3
    assert max(slept) <= 30


def test_a_request_that_does_not_arrive_in_time_is_cut_off(service: Service) -> None:
    def until_closed(connection: socket.socket) -> float:
        start = time.monotonic()
        connection.settimeout(20)
        try:
            while connection.recv(1000):
                pass
        except ConnectionError:
            pass
        return time.monotonic() - start

    token = service.token("free")
    lines = [f"POST {SIGN_PATH} HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", "Content-Length: 256"]
    head = "".join(f"{line}\r\n" for line in [*lines, ""]).encode()
    for beginning in (b"", b"POST /api", head, head + bytes(255)):
        with (
            socket.create_connection(("127.0.0.1", service.port)) as plain,
            service.tls().wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        ):
            connection.sendall(beginning)
            assert until_closed(connection) < 15
    with socket.create_connection(("127.0.0.1", service.port)) as plain:  # no TLS handshake at all
        assert until_closed(plain) < 15
    assert get(service, HEALTH_PATH).status == 200


def test_no_secret_is_logged(service: Service, unsigned: Sigstruct) -> None:
    sign_sigstruct(unsigned, service.client("free"))
    text = (service.folder / "log").read_text() + (service.folder / "audit.jsonl").read_text()
    assert service.token("free") not in text
    request = service.events()[-1]
    assert (request["event"], request["status"], request["client"]) == ("request", 200, "free")


def test_the_client_trusts_only_its_authority(service: Service) -> None:
    with pytest.raises(SigningServiceError, match="TLS connection fails"):
        _ = service.client("free", ca=service.folder / "stranger.pem").public_key
    for url in ("http://127.0.0.1", "https://u:p@127.0.0.1", "https://", "https://h:x", "https://h?x"):
        with pytest.raises(UsageError):
            type(service.client("free"))(url)


def test_the_log_survives_a_kill_and_tells_of_a_torn_line(tmp_path: Path, unsigned: Sigstruct) -> None:
    with running_service(tmp_path, {"free": ANYTHING}) as service:
        sign_sigstruct(unsigned, service.client("free"))
        head = service.audit()[-1]
        service.stop(kill=True)
        log = tmp_path / "audit.jsonl"
        with log.open("ab") as file:
            file.write(b'{"seq": 3, "prev": "')
        service.start()
        assert [entry["event"] for entry in service.audit()[-2:]] == ["recovered", "started"]
        assert service.audit()[-2]["torn"] == '{"seq": 3, "prev": "'
        assert any(event["event"] == "recovered" and event["torn_bytes"] == 20 for event in service.events())
        sign_sigstruct(unsigned, service.client("free"))
        with log.open("rb") as stream:
            chain = verify_chain(stream, "log", Anchor(count=head["seq"]))
        assert chain.count == 5
    assert service.audit()[-1]["event"] == "stopped"


def test_a_service_whose_log_cannot_be_written_signs_nothing(tmp_path: Path, unsigned: Sigstruct) -> None:
    import resource

    with running_service(tmp_path, {"free": ANYTHING}) as service:
        assert service.process is not None
        sign_sigstruct(unsigned, service.client("free"))
        size = (tmp_path / "audit.jsonl").stat().st_size
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (size + 100, size + 100))
        assert post(service, unsigned.signed_bytes(), token=service.token("free")).status == 503
        assert get(service, HEALTH_PATH).status == 503
        assert post(service, unsigned.signed_bytes(), token=service.token("free")).status == 503
        service.stop()
        service.start()
        sign_sigstruct(unsigned, service.client("free"))
    with (tmp_path / "audit.jsonl").open("rb") as stream:
        assert verify_chain(stream, "log").torn == b""


def test_keys_in_a_token_sign(tmp_path: Path, hsm: SoftHsm, unsigned: Sigstruct) -> None:
    pin = tmp_path / "pin"
    pin.write_text(f"{PIN}\n")
    pin.chmod(0o600)
    keys = {name: {"key": hsm.uri(name), "passphrase_file": "pin"} for name in ("first", "second")}
    clients = {name: {"key": name} for name in keys}
    with running_service(tmp_path, clients, keys=keys, environment=hsm.environment) as service:
        for name in keys:
            sign_sigstruct(unsigned, service.client(name)).verify()
        assert service.client("first").public_key != service.client("second").public_key
