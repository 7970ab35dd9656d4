"""Enclaves of SDK 2.17.1, 2.18 and 2.19: what Occlum's builds of sgx_sign made of the same files."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from enclavize.errors import EnclavizeError, UsageError
from enclavize.sgx.enclave_file import EnclaveConfig, measure_enclave, parse_config, read_signed
from enclavize.sgx.enclave_file.generation import GENERATIONS, generation_of
from enclavize.sgx.errors import InvalidEnclaveError
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.signing.local import sign_sigstruct
from support.enclave_builder import Enclave, Extra
from support.vectors import OLDER, cases, signer

GLOBAL_DATA = {"2.17.1": 1688, "2.18": 1688, "2.19": 1720}
REVISION = {"2.17.1": 101}
CASES = [pytest.param(case, id=f"{case['sdk']}-{case['name']}-{case['enclave']}") for case in cases(OLDER)]


def enclave(sdk: str, kind: str) -> bytes:
    major, minor, *_ = map(int, sdk.split("."))
    made = Enclave(
        sdk=(major, minor),
        sdk_revision=REVISION.get(sdk, 100),
        global_data_size=GLOBAL_DATA[sdk],
        description_size=0x5000,
    )
    if kind == "rich":
        made.code, made.bss, made.tls_size, made.tls_align = b"\x90" * 5000, 20000, 5000, 64
        made.relocations = [(0x4000, 8), (0x4008, 6)]
        made.extras = [Extra(content=b"x" * 9000, bss=5000, flags=6, skew=16, gap=2)]
    return made.build()


@pytest.mark.parametrize("case", CASES)
def test_older_enclaves_are_signed_as_their_own_tools_do(case: dict[str, Any]) -> None:
    image = enclave(case["sdk"], case["enclave"])
    assert hashlib.sha256(image).hexdigest() == case["enclave_sha256"]
    config = parse_config(case["config"].encode())
    if not case["signed"]:
        with pytest.raises(UsageError, match=case["sdk"][:4]):
            measure_enclave(image, config)
        return
    unsigned = measure_enclave(image, config)
    assert unsigned.measurement.mrenclave.hex() == case["mrenclave"]
    sigstruct = Sigstruct(measurement=unsigned.measurement, date=int(case["date_bcd"], 16))
    assert sigstruct.signed_bytes().hex() == case["gendata"]
    signed = sign_sigstruct(sigstruct, signer())
    assert hashlib.sha256(signed.to_bytes()).hexdigest() == case["sigstruct_sha256"]
    data = b"".join(unsigned.signed_image(signed))
    assert hashlib.sha256(data).hexdigest() == case["signed_so_sha256"]
    read_signed(data).verify()


@pytest.mark.parametrize("generation", GENERATIONS, ids=lambda generation: str(generation.name))
def test_each_generation_is_known_by_its_number(generation: Any) -> None:
    major, minor = generation.release
    assert generation_of(major << 32 | minor << 16 | 100) is generation


def number(major: int, minor: int, revision: int) -> int:
    return major << 32 | minor << 16 | revision


def test_minor_releases_have_the_format_of_theirs() -> None:
    """2.17.101 is SDK 2.17.1, 2.18.101 is SDK 2.18.1."""
    assert generation_of(number(2, 17, 101)).release == (2, 17)
    assert generation_of(number(2, 18, 101)).release == (2, 18)


@pytest.mark.parametrize("release", [(2, 18, 102), (2, 19, 101), (2, 16, 100), (2, 22, 100)])
def test_other_releases_are_refused(release: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidEnclaveError, match=rf"SDK {release[0]}.{release[1]}.{release[2]}; those of"):
        generation_of(number(*release))


def test_what_the_memory_manager_cannot_keep_books_of_is_refused() -> None:
    config = EnclaveConfig(stack_max_size=2**40, tcs_max_num=2**20, user_region_size=2**30, misc_select=1)
    with pytest.raises(EnclavizeError, match="memory manager"):
        measure_enclave(enclave("2.19", "plain"), config)
