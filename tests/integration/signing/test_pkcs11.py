"""Keys in a real token: SoftHSM."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import SigningRefusedError, UsageError
from enclavize.sgx.enclave_file import EnclaveConfig, measure_enclave
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.signing.local import sign_sigstruct
from enclavize.signing.pkcs11 import Pkcs11Signer, Pkcs11Uri, generate_pkcs11_key
from support.softhsm import PIN
from support.vectors import INTEL

if TYPE_CHECKING:
    from enclavize.signing.local import Signer
    from support.softhsm import SoftHsm

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def unsigned() -> Sigstruct:
    measurement = measure_enclave(INTEL / "enclaves/enclave_a.so", EnclaveConfig()).measurement
    return Sigstruct(measurement=measurement, date=0x20261123)


def signer(hsm: SoftHsm, label: str = "first", pin: str = PIN) -> Pkcs11Signer:
    return Pkcs11Signer(Pkcs11Uri.parse(hsm.uri(label)), pin.encode, module=hsm.module)


def test_the_token_signs(hsm: SoftHsm, unsigned: Sigstruct) -> None:
    key = signer(hsm)
    assert key.public_key.public_numbers().e == 3
    assert key.public_key.key_size == 3072
    sign_sigstruct(unsigned, key).verify()


def test_two_keys_of_one_token_sign_in_many_threads(hsm: SoftHsm, unsigned: Sigstruct) -> None:
    signers: list[Signer] = [signer(hsm), signer(hsm, "second")]
    with ThreadPoolExecutor(4) as pool:
        signed = list(pool.map(lambda n: sign_sigstruct(unsigned, signers[n % 2]), range(12)))
    assert len({sigstruct.mrsigner for sigstruct in signed}) == 2


def test_a_session_that_broke_is_opened_again(hsm: SoftHsm, unsigned: Sigstruct) -> None:
    key = signer(hsm)
    key.close()
    sign_sigstruct(unsigned, key).verify()


def test_a_key_is_found_by_its_id_and_the_module_in_the_uri(hsm: SoftHsm) -> None:
    with pytest.raises(SigningRefusedError, match="2048 bits"):
        Pkcs11Signer(Pkcs11Uri.parse(f"pkcs11:id=w?module-path={hsm.module}"), PIN.encode)


def test_what_is_not_there_is_named(hsm: SoftHsm) -> None:
    with pytest.raises(UsageError, match="no private RSA key of this name"):
        signer(hsm, "third")
    with pytest.raises(UsageError, match="no token has this name"):
        Pkcs11Signer(Pkcs11Uri.parse("pkcs11:token=other;object=first"), PIN.encode, module=hsm.module)
    with pytest.raises(UsageError, match="no PKCS#11 module is named"):
        Pkcs11Signer(Pkcs11Uri.parse(hsm.uri("first")), PIN.encode, environ={})
    with pytest.raises(UsageError, match="cannot be loaded"):
        Pkcs11Signer(Pkcs11Uri.parse(hsm.uri("first")), PIN.encode, module="/nonexistent.so")


def test_a_key_is_never_overwritten(hsm: SoftHsm) -> None:
    with pytest.raises(UsageError, match="never overwritten"):
        generate_pkcs11_key(Pkcs11Uri.parse(hsm.uri("first")), PIN.encode, module=hsm.module)


def test_a_wrong_pin_is_refused_and_not_tried_again(hsm: SoftHsm) -> None:
    import pkcs11

    pkcs11.unload(hsm.module)  # forgets the logins of the other tests
    asked = []

    def pin() -> bytes:
        asked.append(1)
        return b"wrong-pin"

    with pytest.raises(SigningRefusedError, match="the PIN is wrong"):
        Pkcs11Signer(Pkcs11Uri.parse(hsm.uri("first")), pin, module=hsm.module)
    assert len(asked) == 1
    with pytest.raises(UsageError, match="none was given"):
        Pkcs11Signer(Pkcs11Uri.parse(hsm.uri("first")), module=hsm.module)
