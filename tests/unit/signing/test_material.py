"""Signing material: whose it is, and openssl as the signer."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import IntegrityError
from enclavize.sgx.enclave_file import EnclaveConfig, measure_enclave
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.signing.keys import load_public_key
from enclavize.signing.material import SigningMaterial
from support.vectors import INTEL, KEY, PUBLIC_KEY

if TYPE_CHECKING:
    from pathlib import Path


def unsigned(name: str, **config: int) -> Sigstruct:
    return Sigstruct(
        measurement=measure_enclave(INTEL / f"enclaves/{name}.so", EnclaveConfig(**config)).measurement,
        date=0x20261123,
    )


def test_openssl_signs_material(tmp_path: Path) -> None:
    sigstruct = unsigned("enclave_a")
    (tmp_path / "m.bin").write_bytes(SigningMaterial.of(sigstruct).header_and_body)
    command = ["openssl", "dgst", "-sha256", "-sign", str(KEY), "-out", "m.sig", "m.bin"]
    subprocess.run(command, check=True, cwd=tmp_path)
    signed = sigstruct.with_signature((tmp_path / "m.sig").read_bytes(), load_public_key(PUBLIC_KEY))
    assert signed.to_bytes() == (INTEL / "cases/default/sigstruct.bin").read_bytes()


def test_material_of_another_day_is_accepted() -> None:
    gendata = (INTEL / "cases/two_step_other_date/gendata.bin").read_bytes()
    SigningMaterial(header_and_body=gendata).check_describes(
        unsigned("enclave_a", disable_debug=1, prod_id=0x1234, isv_svn=5)
    )


def test_material_of_another_enclave_or_configuration_is_refused_with_the_reason() -> None:
    material = SigningMaterial.of(unsigned("enclave_a"))
    with pytest.raises(IntegrityError, match="another enclave"):
        material.check_describes(unsigned("enclave_b"))
    with pytest.raises(IntegrityError, match=r"another configuration.*isv_prod_id, isv_svn differ"):
        material.check_describes(unsigned("enclave_a", prod_id=1, isv_svn=2))


@pytest.mark.parametrize("size", [0, 255, 257])
def test_material_has_256_bytes(size: int) -> None:
    with pytest.raises(IntegrityError, match="256 bytes"):
        _ = SigningMaterial(header_and_body=bytes(size)).sigstruct
