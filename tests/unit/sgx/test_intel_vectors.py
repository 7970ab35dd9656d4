"""Enclave files of the Intel SDK: every file that sgx_sign wrote is reproduced byte for byte."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.errors import EnclavizeError
from enclavize.sgx.enclave_file import (
    EnclaveConfig,
    load_config,
    measure_enclave,
    parse_config,
    read_signed,
    remeasure,
    write_signed,
)
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.signing.local import sign_sigstruct
from support.vectors import INTEL, OCCLUM, cases, negative, signer

if TYPE_CHECKING:
    from pathlib import Path

CASES = [
    pytest.param(folder, case, id=f"{folder.name}-{case['name']}")
    for folder in (INTEL, OCCLUM)
    for case in cases(folder)
]
REFUSED_FILES = [case for case in negative(INTEL)["cases"] if case["name"].startswith("enclave_")]


@pytest.mark.parametrize(("folder", "case"), CASES)
def test_signed_file_is_reproduced(folder: Path, case: dict[str, Any], tmp_path: Path) -> None:
    unsigned = measure_enclave(folder / case["enclave"], load_config(folder / case["config"]))
    assert unsigned.measurement.mrenclave.hex() == case["mrenclave"]
    sigstruct = Sigstruct(measurement=unsigned.measurement, date=int(case["date_bcd"], 16))
    assert sigstruct.signed_bytes() == (folder / case["gendata"]).read_bytes()
    signed = sign_sigstruct(sigstruct, signer())
    assert signed.to_bytes() == (folder / case["sigstruct"]).read_bytes()
    output = tmp_path / "signed.so"
    write_signed(unsigned, signed, output)
    data = output.read_bytes()
    if "metadata" in case:
        metadata = (folder / case["metadata"]).read_bytes()
        assert data[case["metadata_file_offset"] :][: len(metadata)] == metadata
        assert [f"{major}.{minor}" for major, minor in (b.version for b in unsigned.blocks)] in (
            case["metadata_versions"],
            [
                f"{10 + int(version.split('.')[0])}.{version.split('.')[1]}"
                for version in case["metadata_versions"]
            ],
        )
    assert hashlib.sha256(data).hexdigest() == case["signed_so_sha256"]
    assert remeasure(output).hex() == case["mrenclave"]
    read_signed(output).verify()


@pytest.mark.parametrize("case", REFUSED_FILES, ids=lambda case: str(case["name"]))
def test_bad_enclave_files_are_refused(case: dict[str, Any]) -> None:
    name = case["command"].split("-enclave ")[1].split()[0]
    if "derivation" in case:
        image = bytearray((INTEL / case["derived_from"]).read_bytes())
        for offset, data in case["derivation"].get("patch", []):
            image[offset : offset + len(data) // 2] = bytes.fromhex(data)
        image = image[: case["derivation"].get("truncate")]
    elif name == "signed.so":
        image = bytearray((INTEL / "cases/default/signed.so").read_bytes())
    else:
        image = bytearray((INTEL / "negative" / name).read_bytes())
    options = {
        "resign": "-resign" in case["command"],
        "ignore_text_relocations": "-ignore-rel-error" in case["command"],
        "ignore_init_section": "-ignore-init-sec-error" in case["command"],
    }
    # The original signs a note that is too short, and destroys what follows it.
    if case["exit_code"] or case["name"] == "enclave_short_metadata":
        with pytest.raises(EnclavizeError):
            measure_enclave(bytes(image), EnclaveConfig(), **options)
    else:
        unsigned = measure_enclave(bytes(image), EnclaveConfig(), **options)
        assert unsigned.measurement.mrenclave.hex() == case.get(
            "mrenclave", unsigned.measurement.mrenclave.hex()
        )


def test_resigning_gives_the_bytes_of_signing() -> None:
    case = next(case for case in negative(INTEL)["cases"] if case["name"] == "enclave_resign")
    unsigned = measure_enclave(INTEL / "cases/default/signed.so", EnclaveConfig(), resign=True)
    signed = sign_sigstruct(Sigstruct(measurement=unsigned.measurement, date=0x20261123), signer())
    assert hashlib.sha256(b"".join(unsigned.signed_image(signed))).hexdigest() == case["output_sha256"]


@pytest.mark.parametrize("case", negative(INTEL)["config_files"], ids=lambda case: str(case["config"])[22:70])
def test_configurations_are_judged_alike(case: dict[str, Any]) -> None:
    enclave = INTEL / "enclaves/enclave_a.so"
    if case["exit_code"]:
        with pytest.raises(EnclavizeError):
            measure_enclave(enclave, parse_config(case["config"].encode()))
    else:
        unsigned = measure_enclave(enclave, parse_config(case["config"].encode()))
        material = Sigstruct(measurement=unsigned.measurement, date=0x20261123).signed_bytes()
        assert material.hex() == case["gendata_hex"]
