"""A token with keys."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from enclavize.signing.pkcs11 import Pkcs11Uri, generate_pkcs11_key
from support.softhsm import PIN, make_softhsm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.softhsm import SoftHsm


@pytest.fixture(scope="session")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftHsm]:
    """Make a token with the keys "first" and "second", and "web" with 2048 bits."""
    made = make_softhsm(tmp_path_factory.mktemp("softhsm"))
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = made.environment["SOFTHSM2_CONF"]
    import pkcs11

    for label in ("first", "second"):
        generate_pkcs11_key(Pkcs11Uri.parse(made.uri(label)), PIN.encode, module=made.module)
    token = next(iter(pkcs11.lib(made.module).get_tokens(token_label=Pkcs11Uri.parse(made.uri("x")).token)))
    with token.open(rw=True, user_pin=PIN) as session:
        session.generate_keypair(pkcs11.KeyType.RSA, 2048, label="web", id=b"w", store=True)
    yield made
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = before
