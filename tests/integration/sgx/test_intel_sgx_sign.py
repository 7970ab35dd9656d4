"""Side by side with the vendors' own tool: ENCLAVIZE_SGX_SIGN=PATH names an sgx_sign.

It is Intel's of SDK 2.26, or one of an older SDK that Occlum's fork has.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError
from enclavize.libos.builtin.config import CONFIGURATION_SIZE
from enclavize.libos.builtin.enclave import enclave_config, with_configuration
from enclavize.sgx.enclave_file import EnclaveConfig, measure_enclave, parse_config, read_signed, remeasure
from enclavize.sgx.enclave_file.generation import generation_of
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.signing.local import sign_sigstruct
from support.enclave_builder import Enclave, Extra
from support.scale import scaled
from support.vectors import KEY, signer

if TYPE_CHECKING:
    from enclavize.sgx.enclave_file.generation import Generation

SGX_SIGN = os.environ.get("ENCLAVIZE_SGX_SIGN", "")
LIBOS = Path(__file__).parents[3] / "enclavize/_native/libos.so"
PAGE = 4096

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not SGX_SIGN, reason="ENCLAVIZE_SGX_SIGN does not name an sgx_sign"),
]


@dataclass(frozen=True, kw_only=True)
class Sdk:
    """The tool's: its number, its format, and the elements that it knows of those that not all know."""

    version: tuple[int, int, int]
    generation: Generation

    @property
    def unknown_elements(self) -> set[str]:
        names = self.generation.unknown_elements
        return {field.metadata["element"] for field in fields(EnclaveConfig) if field.name in names}


@pytest.fixture(scope="module")
def sdk() -> Sdk:
    done = subprocess.run([SGX_SIGN, "-version"], capture_output=True, check=False, text=True)
    match = re.search(r"version (\d+)\.(\d+)\.(\d+)", done.stdout + done.stderr)
    assert match, "sgx_sign does not say its version"
    major, minor, revision = map(int, match.groups())
    generation = generation_of(major << 32 | minor << 16 | revision)
    return Sdk(version=(major, minor, revision), generation=generation)


def as_xml(config: dict[str, int]) -> str:
    elements = "".join(f"<{name}>{value:#x}</{name}>" for name, value in config.items())
    return f"<EnclaveConfiguration>{elements}</EnclaveConfiguration>"


def run_tool(image: bytes, xml: str, folder: Path) -> bytes | None:
    """The file that sgx_sign writes, or None where it refuses."""
    source, config, output = folder / "enclave.so", folder / "config.xml", folder / "signed.so"
    source.write_bytes(image)
    config.write_text(xml)
    output.unlink(missing_ok=True)
    command = [SGX_SIGN, "sign", "-enclave", str(source), "-config", str(config)]
    command += ["-key", str(KEY), "-out", str(output)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=300)
    return output.read_bytes() if done.returncode == 0 else None


def compare(image: bytes, xml: str, folder: Path) -> bool:
    """Both sign with the same bytes (True), or both refuse."""
    expected = run_tool(image, xml, folder)
    if expected is None:
        with pytest.raises(EnclavizeError):
            measure_enclave(image, parse_config(xml.encode()))
        return False
    unsigned = measure_enclave(image, parse_config(xml.encode()))
    date = read_signed(expected).sigstruct.date
    signed = sign_sigstruct(Sigstruct(measurement=unsigned.measurement, date=date), signer())
    assert b"".join(unsigned.signed_image(signed)) == expected, xml
    assert remeasure(expected) == signed.mrenclave
    return True


def random_enclave(rng: random.Random, sdk: Sdk) -> bytes:
    relocations = [
        (0x2000 + 8 * index, rng.choice((0, 1, 6, 7, 8, 16, 17, 18))) for index in range(rng.randrange(4))
    ]
    return Enclave(
        sdk=sdk.generation.release,
        sdk_revision=sdk.version[2],
        global_data_size=sdk.generation.global_data_size,
        description_size=sdk.generation.metadata_size,
        code=rng.randbytes(rng.choice((2, 100, 4096, 5000))),
        bss=rng.choice((0, 1, 5000, 20000)),
        tls_size=rng.choice((0, 0, 1, 37, 4096, 5000)),
        tls_align=rng.choice((0, 1, 8, 64, 4096)),
        symbols=[(b"weak", 0x20)] * rng.randrange(2) + [(b"undefined", 0x10)] * (rng.random() < 0.03),
        relocations=relocations
        + [(0x1000, 8)] * (rng.random() < 0.03)
        + [(0x2000, 37)] * (rng.random() < 0.03),
        sections=[(b".init", 4)] * (rng.random() < 0.03),
        extras=[random_segment(rng) for _ in range(rng.randrange(3))],
    ).build()


def random_segment(rng: random.Random) -> Extra:
    """Never empty: sgx_sign puts the heap over a segment that begins where an empty one does."""
    size = rng.choice((0, 1, 100, 4095, 4096, 9000))
    return Extra(
        content=rng.randbytes(size),
        bss=rng.choice((0 if size else 5, 1, 4096, 9000)),
        flags=rng.randrange(rng.random() > 0.03, 8),
        skew=rng.choice((0, 0, 16, 4095)),
        gap=rng.randrange(3),
    )


def random_config(rng: random.Random, sdk: Sdk) -> dict[str, int]:
    """Mostly sensible values; one time in ten the order of minima and maxima is left to chance."""

    def pages(limit: int) -> int:
        return PAGE * rng.randrange(limit)

    choices = {
        "TCSNum": rng.randrange(1, 9), "TCSMaxNum": rng.randrange(1, 12), "TCSPolicy": rng.randrange(2),
        "TCSMinPool": rng.randrange(10),
        "StackMinSize": 0x2000 + pages(8), "StackMaxSize": 0x2000 + pages(60),
        "HeapMinSize": pages(40), "HeapInitSize": pages(80), "HeapMaxSize": pages(4000),
        "ReservedMemMinSize": pages(40), "ReservedMemInitSize": pages(80), "ReservedMemMaxSize": pages(400),
        "ReservedMemExecutable": rng.randrange(2), "UserRegionSize": pages(1 << rng.randrange(1, 20)),
        "MiscSelect": rng.choice((0, 1, 3, 2**32 - 1)), "MiscMask": rng.choice((0, 1, 2**32 - 2, 2**32 - 1)),
        "PKRU": rng.randrange(3), "AMX": rng.randrange(3), "EnableAEXNotify": 1, "EnableKSS": 1,
        "ISVFAMILYID_L": rng.getrandbits(64), "ISVEXTPRODID_H": rng.getrandbits(64),
        "ProdID": rng.getrandbits(16), "ISVSVN": rng.getrandbits(16), "DisableDebug": 1, "ReleaseType": 1,
        "IntelSigned": 1, "ProvisionKey": 1, "HW": rng.randrange(17), "LaunchKey": 1,
    }  # fmt: skip
    config = {name: value for name, value in choices.items() if rng.random() < 0.3}
    if rng.random() < 0.25:
        size = 1 << rng.randrange(20, 40)
        start = size * rng.randrange(4)
        image = start + PAGE * rng.randrange(1, max(2, size // PAGE // 2))
        config |= {"ELRangeSize": size, "ELRangeStartAddress": start, "EnclaveImageAddress": image}
    config = config if rng.random() < 0.1 else sensible(config)
    return {name: value for name, value in config.items() if name not in sdk.unknown_elements}


def sensible(config: dict[str, int]) -> dict[str, int]:
    for ordered in (
        ("HeapMinSize", "HeapInitSize", "HeapMaxSize"),
        ("ReservedMemMinSize", "ReservedMemInitSize", "ReservedMemMaxSize"),
        ("StackMinSize", "StackMaxSize"),
        ("TCSNum", "TCSMaxNum"),
    ):
        present = [name for name in ordered if name in config]
        config |= dict(zip(present, sorted(config[name] for name in present), strict=True))
    if {"ReservedMemMinSize", "ReservedMemInitSize"} & config.keys():
        config.setdefault("ReservedMemMaxSize", 0x200000)
    if "UserRegionSize" in config:
        config |= {"MiscSelect": 1, "MiscMask": 2**32 - 1}
    if {"ISVFAMILYID_L", "ISVEXTPRODID_H"} & config.keys():
        config["EnableKSS"] = 1
    threads = config.get("TCSMaxNum", config.get("TCSNum", 1))
    config["TCSMinPool"] = min(config.get("TCSMinPool", 0), threads)
    return {name: value for name, value in config.items() if name not in {"HW", "LaunchKey"}}


def test_random_enclaves_are_signed_alike(tmp_path: Path, sdk: Sdk) -> None:
    rng = random.Random(226)
    signed = [
        compare(random_enclave(rng, sdk), as_xml(random_config(rng, sdk)), tmp_path)
        for _ in range(scaled(2000))
    ]
    assert sum(signed) > len(signed) // 4


@pytest.mark.skipif(not LIBOS.exists(), reason="the builtin LibOS is not compiled")
def test_the_builtin_libos_is_signed_alike(tmp_path: Path, sdk: Sdk) -> None:
    if sdk.generation.release != (2, 26):
        pytest.skip("the builtin LibOS has the format of SDK 2.26")
    image = with_configuration(LIBOS.read_bytes(), random.Random(1).randbytes(CONFIGURATION_SIZE))
    for threads, debuggable in ((1, False), (16, True), (300, False)):
        config = enclave_config(threads=threads, isv_prod_id=1, isv_svn=2, debuggable=debuggable)
        elements = {field.metadata["element"]: getattr(config, field.name) for field in fields(config)}
        xml = as_xml({name: value for name, value in elements.items() if value is not None})
        assert compare(image, xml, tmp_path)
