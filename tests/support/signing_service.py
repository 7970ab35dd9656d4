"""A signing service in a process of its own, with TLS on loopback, and what its clients need."""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import json
import os
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from enclavize.signing.keys import generate_key
from enclavize.signing.remote import RemoteSigner
from enclavize.signing.service.clients import hash_token
from support.command import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(kw_only=True)
class Service:
    """``folder`` has everything: certificates, keys, tokens, ``signer.toml``, ``audit.jsonl``, ``log``."""

    folder: Path
    clients: dict[str, dict[str, Any]]
    keys: dict[str, dict[str, str]] = field(default_factory=lambda: {"main": {"key": "main.pem"}})
    server: dict[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    port: int = 0

    def prepare(self) -> None:
        """Write everything but the configuration."""
        make_certificates(self.folder)
        for key in self.keys.values():
            if key["key"].endswith(".pem"):
                generate_key(self.folder / key["key"])
        for name in self.clients:
            path = self.folder / f"{name}.token"
            path.write_text(f"token-of-{name}-{os.urandom(16).hex()}\n")
            path.chmod(0o600)

    def write_config(self) -> Path:
        lines = ["[server]", f'listen = "127.0.0.1:{self.port}"', 'certificate = "server.pem"']
        lines += ['private_key = "server.key"']
        lines += [f"{name} = {json.dumps(value)}" for name, value in self.server.items()]
        lines += ["[audit]", 'path = "audit.jsonl"']
        for name, values in self.keys.items():
            lines += [f"[keys.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        for name, client in self.clients.items():
            settings: dict[str, object] = {
                "key": "main",
                "token_sha256": [hash_token(self.token(name))],
                "product_ids": "any",
                "measurements": "any",
                "requests_per_minute": 1_000_000,
                **client,
            }
            lines += [
                f"[clients.{name}]",
                *(f"{key} = {_toml(value)}" for key, value in settings.items()),
            ]
        path = self.folder / "signer.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    def token(self, name: str) -> str:
        return (self.folder / f"{name}.token").read_text().strip()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def client(self, name: str, **options: Any) -> RemoteSigner:
        return RemoteSigner(
            self.url, **{"token_file": self.folder / f"{name}.token", "ca": self.ca, **options}
        )

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))

    def start(self) -> None:
        """Start, and wait until it says where it listens.

        The log is a file, not a pipe: what the service said before it answered can be read after the answer.
        """
        config, log = self.write_config(), self.folder / "log"
        known = log.stat().st_size if log.exists() else 0
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "enclavize", "signer", "serve", "--config", str(config)],
                cwd=REPOSITORY, stderr=stderr, env={**os.environ, **self.environment},
            )  # fmt: skip
        while (port := _listening_port(log.read_bytes()[known:])) is None:
            if self.process.poll() is not None:
                pytest.fail(f"the service does not start:\n{log.read_text()}")
            time.sleep(0.02)
        self.port = port

    def stop(self, *, kill: bool = False) -> int:
        """End it; return the exit code."""
        assert self.process is not None
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        code = self.process.wait(120)
        self.process = None
        return code

    def events(self) -> list[dict[str, Any]]:
        """The structured log."""
        return [json.loads(line) for line in (self.folder / "log").read_text().splitlines()]

    def audit(self) -> list[dict[str, Any]]:
        lines = (self.folder / "audit.jsonl").read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines]


def _toml(value: object) -> str:
    match value:
        case dict():
            return "{ " + ", ".join(f"{name} = {_toml(item)}" for name, item in value.items()) + " }"
        case list():
            return f"[{', '.join(map(_toml, value))}]"
        case dt.datetime():
            return value.isoformat()
        case _:
            return json.dumps(value)


def _listening_port(log: bytes) -> int | None:
    for line in log.splitlines(keepends=True):
        if line.endswith(b"}\n") and (event := json.loads(line))["event"] == "listening":
            return int(event["port"])
    return None


@contextmanager
def running_service(folder: Path, clients: dict[str, dict[str, Any]], **options: Any) -> Iterator[Service]:
    """Run a service; it must end well."""
    service = Service(folder=folder, clients=clients, **options)
    service.prepare()
    service.start()
    try:
        yield service
    finally:
        if service.process:
            assert service.stop() == 0, (folder / "log").read_text()
    assert "Traceback" not in (folder / "log").read_text()


def make_certificates(folder: Path) -> None:
    """ca.pem; server.pem and .key for 127.0.0.1; client.pem and stranger.pem, each with its key in it."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("test CA", ca_key.public_key(), "test CA", ca_key, is_ca=True)
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    for name in ("server", "client", "other", "stranger"):
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = key if name == "stranger" else ca_key
        certificate = _certificate(name, key.public_key(), name if name == "stranger" else "test CA", issuer)
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        if name == "server":
            (folder / "server.key").write_bytes(secret)
            (folder / "server.key").chmod(0o600)
            secret = b""
        (folder / f"{name}.pem").write_bytes(pem + secret)


def certificate_hash(path: Path) -> str:
    """As the configuration names a client's certificate."""
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def _certificate(
    name: str,
    public_key: ec.EllipticCurvePublicKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    is_ca: bool = False,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)]) for text in (name, issuer)]
    builder = x509.CertificateBuilder(names[1], names[0], public_key, x509.random_serial_number())
    builder = builder.not_valid_before(now - dt.timedelta(days=1))
    builder = builder.not_valid_after(now + dt.timedelta(days=1))
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
    )
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())
