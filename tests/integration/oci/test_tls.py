"""Encrypted and plain connections."""

from __future__ import annotations

import datetime as dt
import ipaddress
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from enclavize.errors import RegistryError
from enclavize.oci.registry.client import RegistryClient
from enclavize.oci.registry.target import RegistryTarget
from support.images import to_write
from support.registry import running_registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from enclavize.progress import Reporter
    from support.images import BuiltImage
    from support.registry import Registry

pytestmark = pytest.mark.integration


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody trusts yet, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test registry")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - dt.timedelta(days=1))
    builder = builder.not_valid_after(now + dt.timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    paths = tmp_path / "certificate.pem", tmp_path / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths


@pytest.fixture
def encrypted(tmp_path: Path, certificate: tuple[Path, Path]) -> Iterator[Registry]:
    """A registry that speaks TLS."""
    with running_registry(tmp_path / "encrypted", tls=certificate) as running:
        yield running


def test_a_certificate_of_nobody_is_refused(
    encrypted: Registry, image: BuiltImage, reporter: Reporter
) -> None:
    with pytest.raises(RegistryError, match="is not trusted") as caught:
        RegistryTarget().deliver(to_write(image, f"{encrypted.host}/app:1"), reporter)
    assert caught.value.hint is not None
    assert "--insecure" in caught.value.hint


def test_a_trusted_certificate_is_used(
    encrypted: Registry,
    certificate: tuple[Path, Path],
    image: BuiltImage,
    reporter: Reporter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    RegistryTarget().deliver(to_write(image, f"{encrypted.host}/app:1"), reporter)
    assert encrypted.has_stored(image.descriptor.digest)


def test_insecure_accepts_any_certificate(encrypted: Registry, image: BuiltImage, reporter: Reporter) -> None:
    RegistryTarget(insecure=True).deliver(to_write(image, f"{encrypted.host}/app:1"), reporter)
    assert encrypted.has_stored(image.descriptor.digest)


def test_plain_http_beyond_this_machine_needs_to_be_allowed(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enclavize.oci.registry.transport.is_loopback", lambda _host: False)
    with pytest.raises(RegistryError, match="does not speak TLS") as caught:
        RegistryClient(registry.host).has_manifest("app", "1")
    assert caught.value.hint == "--insecure allows plain HTTP for this registry"
    client = RegistryClient(registry.host, insecure=True)
    assert not client.has_manifest("app", "1")
    client.close()
