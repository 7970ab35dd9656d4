"""A token with keys, and an image to build from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from enclavize.signing.pkcs11 import Pkcs11Uri, generate_pkcs11_key
from support.command import Command
from support.images import build_image, directory, file, write_layout
from support.programs import busybox
from support.softhsm import PIN, make_softhsm
from support.stand_in import native_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.softhsm import SoftHsm


@pytest.fixture(scope="session")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftHsm]:
    """Make a token with the keys "first" and "second", "web" with 2048 bits, "p256" and "p384"."""
    made = make_softhsm(tmp_path_factory.mktemp("softhsm"))
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = made.environment["SOFTHSM2_CONF"]
    import pkcs11
    from pkcs11.util.ec import encode_named_curve_parameters

    for label in ("first", "second"):
        generate_pkcs11_key(Pkcs11Uri.parse(made.uri(label)), PIN.encode, module=made.module)
    token = next(iter(pkcs11.lib(made.module).get_tokens(token_label=Pkcs11Uri.parse(made.uri("x")).token)))
    with token.open(rw=True, user_pin=PIN) as session:
        session.generate_keypair(pkcs11.KeyType.RSA, 2048, label="web", id=b"w", store=True)
        for curve, label in (("secp256r1", "p256"), ("secp384r1", "p384")):
            parameters = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters(curve)}
            domain = session.create_domain_parameters(pkcs11.KeyType.EC, parameters, local=True)
            domain.generate_keypair(label=label, id=label.encode(), store=True)
    yield made
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = before


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the native files: the real ones where they are built, stand-ins otherwise."""
    return native_files(tmp_path_factory.mktemp("native"))


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the name of an ordinary image."""
    image = build_image(
        [
            [directory("bin"), file("bin/busybox", busybox().read_bytes(), 0o755)],
            [file("data", "0123" * 5000)],
        ],
        config={"Entrypoint": ["/bin/busybox"], "Cmd": ["true"], "Labels": {"who": "me"}},
        change_config={"created": "2026-05-06T07:08:09Z"},
    )
    return f"oci:{write_layout(tmp_path_factory.mktemp('source') / 'layout', {'1': image})}"


@pytest.fixture
def command(tmp_path: Path, native: Path) -> Command:
    """Return the command with an empty home."""
    base = tmp_path / "home"
    base.mkdir()
    return Command(base=base, native=native)
