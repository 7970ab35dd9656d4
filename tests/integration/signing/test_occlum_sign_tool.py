"""``enclavize-sgx-sign`` as Occlum's ``--sign-tool``: called as its makefile calls it, with all its elements.

Source: occlum_build.mk and gen_internal_conf of Occlum 0.29.7 and 0.31.0. The enclave is a stand-in.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclavize.sgx.enclave_file import read_signed
from enclavize.signing.keys import generate_key
from support.enclave_builder import Enclave, Extra, W

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.integration

TOOL = Path(sys.executable).parent / "enclavize-sgx-sign"
MB = 1 << 20
GB = 1 << 30

# In the order in which gen_internal_conf writes them; values for the template Occlum.json.
COMMON: dict[str, object] = {
    "ProdID": 0,
    "ISVSVN": 0,
    "StackMaxSize": 1 * MB,
    "StackMinSize": 1 * MB,
    "HeapInitSize": 32 * MB,
    "HeapMaxSize": 32 * MB,
    "HeapMinSize": 32 * MB,
    "TCSNum": 32,
    "TCSMaxNum": 32,
    "TCSMinPool": 32,
    "TCSPolicy": 0,
    "DisableDebug": 0,
    "MiscSelect": "0",
    "MiscMask": "0",
    "ReservedMemMaxSize": 300 * MB,
    "ReservedMemMinSize": 300 * MB,
    "ReservedMemInitSize": 300 * MB,
    "ReservedMemExecutable": 1,
    "UserRegionSize": None,
    "EnableKSS": 0,
    "ISVEXTPRODID_H": 0,
    "ISVEXTPRODID_L": 0,
    "ISVFAMILYID_H": 0,
    "ISVFAMILYID_L": 0,
    "PKRU": 0,
    "AMX": 0,
}
INSTANCES: dict[str, dict[str, object]] = {
    "static": COMMON,
    "0.29": {
        **{name: value for name, value in COMMON.items() if name != "AMX"},
        "MiscSelect": "1",
        "TCSMaxNum": 64,
        "PKRU": 2,
    },
    "EDMM": {
        **COMMON,
        "HeapMaxSize": 1 * GB,
        "TCSNum": 16,
        "TCSMaxNum": 4096,
        "TCSMinPool": 16,
        "MiscSelect": "1",
        "MiscMask": "0xFFFFFFFF",
        "UserRegionSize": 17 * GB,
    },
    "release with KSS": {
        **COMMON,
        "ProdID": 7,
        "ISVSVN": 3,
        "DisableDebug": 1,
        "EnableKSS": 1,
        "ISVEXTPRODID_H": 2**64 - 1,
        "ISVEXTPRODID_L": 1,
        "ISVFAMILYID_H": 2,
        "ISVFAMILYID_L": 3,
        "PKRU": 1,
        "AMX": 2,
    },
}


@dataclass(frozen=True, kw_only=True)
class Release:
    """A release of Occlum, as far as signing sees it."""

    sdk: tuple[int, int]
    sdk_revision: int = 100
    global_data_size: int = 1760
    instances: tuple[str, ...] = ("static", "EDMM", "release with KSS")


RELEASES = {
    "0.29": Release(sdk=(2, 17), sdk_revision=101, global_data_size=1688, instances=("0.29",)),
    "0.30": Release(sdk=(2, 20)),
    "0.31": Release(sdk=(2, 21)),
}
CASES = [(release, name) for release, facts in RELEASES.items() for name in facts.instances]


def enclave_xml(values: Mapping[str, object]) -> str:
    elements = (f"<{name}>{value}</{name}>" for name, value in values.items() if value is not None)
    declaration = '<?xml version="1.0" encoding="UTF-8"?>'
    return f"{declaration}<EnclaveConfiguration>{''.join(elements)}</EnclaveConfiguration>"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "key.pem"
    generate_key(path)
    return path


@pytest.fixture
def instance(tmp_path: Path, key: Path) -> Path:
    """Make the folder of an Occlum instance as it is before signing, and a key beside it."""
    library = tmp_path / "instance/build/lib"
    library.mkdir(parents=True)
    (library / "libocclum-libos.so.0").symlink_to("libocclum-libos.so.0.31.0")
    (library / "libocclum-libos.so").symlink_to("libocclum-libos.so.0")
    shutil.copy2(key, tmp_path / "key.pem")
    return tmp_path / "instance"


def write_instance(instance: Path, release: Release, values: Mapping[str, object]) -> bytes:
    builtin_config = b"-".join([b"ab"] * 16) + b"\n"
    image = Enclave(
        sdk=release.sdk, sdk_revision=release.sdk_revision, global_data_size=release.global_data_size,
        description_size=0x5000, bss=0x8000, tls_size=4000, tls_align=64,
        extras=[Extra(content=builtin_config, flags=W | 4)],
    ).build()  # fmt: skip
    (instance / "build/lib/libocclum-libos.so.0.31.0").write_bytes(image)
    (instance / "build/Enclave.xml").write_text(enclave_xml(values))
    return image


def run(command: list[str | Path], folder: Path, date: str = "1790000000") -> None:
    if not TOOL.exists():
        pytest.skip("enclavize-sgx-sign is not installed beside Python")
    environment = {**os.environ, "SOURCE_DATE_EPOCH": date}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr


def sign(instance: Path) -> bytes:
    """Run the recipe of the makefile, whose working folder is the instance's build folder."""
    output = instance / "build/lib/libocclum-libos.signed.so"
    command: list[str | Path] = [TOOL, "sign", "-key", instance.parent / "key.pem"]
    command += ["-config", f"{instance}/build/Enclave.xml"]
    command += ["-enclave", f"{instance}/build/lib/libocclum-libos.so.0", "-out", output]
    run(command, instance / "build")
    return output.read_bytes()


@pytest.mark.parametrize(("release", "name"), CASES)
def test_one_step_and_two_steps_with_openssl_give_the_same_file(
    instance: Path, name: str, release: str
) -> None:
    image = write_instance(instance, RELEASES[release], INSTANCES[name])
    signed = sign(instance)
    read_signed(signed).verify()
    library = instance / "build/lib"
    assert (library / "libocclum-libos.so.0.31.0").read_bytes() == image
    assert (library / "libocclum-libos.so.0").is_symlink()

    folder = instance.parent
    enclave: list[str | Path] = ["-enclave", library / "libocclum-libos.so.0"]
    enclave += ["-config", instance / "build/Enclave.xml"]
    run([TOOL, "gendata", *enclave, "-out", "enclave_sig.dat"], folder)
    run(["openssl", "rsa", "-in", "key.pem", "-pubout", "-out", "public.pem"], folder)
    openssl: list[str | Path] = ["openssl", "dgst", "-sha256", "-sign", "key.pem"]
    run([*openssl, "-out", "signature", "enclave_sig.dat"], folder)
    catsig: list[str | Path] = [TOOL, "catsig", *enclave, "-key", "public.pem", "-sig", "signature"]
    # The date comes from the material: the day on which the signature is attached does not matter.
    run([*catsig, "-unsigned", "enclave_sig.dat", "-out", "two-step.so"], folder, date="1800000000")
    assert (folder / "two-step.so").read_bytes() == signed


@pytest.mark.parametrize(("release", "name"), CASES)
def test_each_element_has_its_effect(instance: Path, release: str, name: str) -> None:
    write_instance(instance, RELEASES[release], INSTANCES[name])
    enclave = read_signed(sign(instance))
    values = INSTANCES[name]
    measurement = enclave.sigstruct.measurement
    assert (measurement.isv_prod_id, measurement.isv_svn) == (values["ProdID"], values["ISVSVN"])
    assert measurement.misc_select == int(str(values["MiscSelect"]), 0)
    assert measurement.misc_mask == int(str(values["MiscMask"]), 0)
    assert measurement.attributes_mask.debug == bool(values["DisableDebug"])
    assert bool(measurement.attributes.flags & 0x80) == bool(values["EnableKSS"])
    versions = [block.version for block in enclave.blocks]
    if release == "0.29":
        assert versions == [(2, 4), (2, 1), (1, 4)]
    else:
        assert versions == ([(3, 0), (1, 4)] if values["UserRegionSize"] else [(1, 4)])
