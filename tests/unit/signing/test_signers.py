"""What a key's name means, and PKCS#11 URIs."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclavize.errors import SigningRefusedError, UsageError
from enclavize.signing import signers
from enclavize.signing.local import LocalSigner
from enclavize.signing.material import SigningMaterial
from enclavize.signing.pkcs11 import Pkcs11Uri
from enclavize.signing.signers import is_file, open_image_signer, open_signer
from support.vectors import INTEL, KEY, signer

if TYPE_CHECKING:
    from collections.abc import Callable

    from enclavize.signing.local import Signer


MATERIAL = (INTEL / "cases/kss/gendata.bin").read_bytes()
IMAGE = "registry.example/app", f"sha256:{'4' * 64}"


def test_uris_are_read() -> None:
    uri = Pkcs11Uri.parse("pkcs11:token=my%20token;object=k%3B1;id=%01%ff;type=private?module-path=/m.so")
    assert uri == Pkcs11Uri(token="my token", object="k;1", id=b"\x01\xff", module_path="/m.so")
    assert str(uri) == "PKCS#11 key (token 'my token', object 'k;1', id 01ff)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pkcs11:", "names no key"),
        ("pkcs11:token=a", "names no key"),
        ("pkcs11:object=a;object=b", "or two"),
        ("pkcs11:object", "no value"),
        ("pkcs11:object=%zz", "no PKCS#11 URI"),
        ("pkcs11:object=%ff", "not UTF-8"),
        ("pkcs11:object=a;type=public", "type must be private"),
        ("pkcs11:object=a;slot-id=1", "'slot-id' is not supported"),
        ("pkcs11:object=a?pin-value=1234", "a PIN does not belong"),
        ("pkcs11:object=a?pin-source=|cat 1234", "pin-source must be file:/PATH"),
        ("pkcs11:object=a?pin-source=1234", "pin-source must be file:/PATH"),
        ("pkcs11:object=a?pin-source=https://host/1234", "pin-source must be file:/PATH"),
        ("pkcs11:object=a?pin-source=%ff", "not UTF-8"),
        ("pkcs11:object=a?x=1", "'x' is not supported"),
        ("pkcs11:object=" + "a" * 5000, "no PKCS#11 URI"),
    ],
)
def test_bad_uris_are_refused_and_no_pin_is_repeated(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Pkcs11Uri.parse(text)
    assert "1234" not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize("text", ["file:/run/pin", "/run/pin", "file:///run/pin", "%2Frun%2Fpin"])
def test_a_uri_may_name_the_file_with_the_pin(text: str) -> None:
    assert Pkcs11Uri.parse(f"pkcs11:object=a?pin-source={text}").pin_source == Path("/run/pin")


@given(st.text(max_size=60))
def test_any_text_is_a_uri_or_a_usage_error(text: str) -> None:
    try:
        uri = Pkcs11Uri.parse(f"pkcs11:{text}")
    except UsageError:
        return
    assert uri.object or uri.id


def test_a_file_may_have_a_colon_in_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    key = tmp_path / "vault:key.pem"
    key.write_bytes(KEY.read_bytes())
    key.chmod(0o600)
    assert is_file("vault:key.pem")
    assert isinstance(open_signer("vault:key.pem"), LocalSigner)
    assert not is_file("vault:other")
    assert not is_file("pkcs11:object=a")


def install(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    found = EntryPoints(EntryPoint(name, f"{__name__}:plug_in", signers.ENTRY_POINT_GROUP) for name in names)
    monkeypatch.setattr("importlib.metadata.entry_points", found.select)
    monkeypatch.setattr(EntryPoint, "load", lambda _self: plug_in)


class Crashing:
    public_key = signer().public_key

    def sign(self, material: SigningMaterial) -> bytes:
        return bytes([1 // len(material.description)])

    def sign_image(self, name: str, digest: str) -> bytes:
        raise ZeroDivisionError(f"{name}@{digest}")


class Older:
    """A plug-in from before there were image signatures."""

    public_key = signer().public_key

    def sign(self, material: SigningMaterial) -> bytes:
        return signer().sign(material)


def plug_in(reference: str, passphrase: Callable[[], bytes] | None) -> Signer | None:
    match reference:
        case "vault:nothing":
            return None
        case "vault:crash when it signs":
            return Crashing()
        case "vault:refuse":
            raise SigningRefusedError("the vault is closed")
        case "vault:older":
            return cast("Signer", Older())
        case "vault:crash":
            raise KeyError("x")
        case _:
            pass
    assert passphrase is not None
    assert passphrase() == b"secret"
    return signer()


def test_a_plug_in_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "vault", "other")
    material = SigningMaterial(header_and_body=MATERIAL)
    found = open_signer("vault:key", lambda: b"secret")
    assert found.public_key == signer().public_key
    assert found.sign(material) == signer().sign(material)
    with pytest.raises(SigningRefusedError, match="closed"):
        open_signer("vault:refuse")
    with pytest.raises(UsageError, match="failed: KeyError"):
        open_signer("vault:crash")
    with pytest.raises(UsageError, match="failed: AttributeError"):
        open_signer("vault:nothing")
    crashing = open_signer("vault:crash when it signs")
    with pytest.raises(UsageError, match="test_signers:plug_in failed: ZeroDivisionError"):
        crashing.sign(material)
    with pytest.raises(UsageError, match="test_signers:plug_in failed: ZeroDivisionError"):
        crashing.sign_image(*IMAGE)


def test_a_plug_in_signs_images_if_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "vault")
    found = open_image_signer("vault:key", lambda: b"secret")
    assert found.sign_image(*IMAGE) == signer().sign_image(*IMAGE)
    older = open_image_signer("vault:older")
    with pytest.raises(SigningRefusedError, match="test_signers:plug_in does not sign images") as caught:
        older.sign_image(*IMAGE)
    assert "another key" in (caught.value.hint or "")


def test_without_one_plug_in_the_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="No signer is installed"):
        open_signer("vault:key")
    install(monkeypatch, "vault", "vault")
    with pytest.raises(UsageError, match="Several signers"):
        open_signer("vault:key")
