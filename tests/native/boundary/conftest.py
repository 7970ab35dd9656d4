"""The torture enclave and the host programs that run it, built once."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from enclavize.signing.keys import generate_key
from enclavize.signing.local import LocalSigner
from support.torture import BOUNDARY, HERE, NATIVE, TORTURE, Host, compile_as, compile_host, sign

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> LocalSigner:
    key = tmp_path_factory.mktemp("key") / "key.pem"
    generate_key(key)
    return LocalSigner.from_file(key)


@pytest.fixture(scope="session")
def unsigned_enclave(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The boundary under test with the torture core."""
    sources = [*BOUNDARY, *(HERE / name for name in TORTURE)]
    return compile_as("libos.so", tmp_path_factory.mktemp("enclave") / "torture.so", sources)


@pytest.fixture(scope="session")
def signed_enclave(unsigned_enclave: Path, signer: LocalSigner) -> Path:
    return sign(unsigned_enclave, unsigned_enclave.parent / "instance" / "enclave.signed.so", signer)


@pytest.fixture(scope="session")
def host(signed_enclave: Path, tmp_path_factory: pytest.TempPathFactory) -> Host:
    """A static host program."""
    return Host(
        program=compile_host(tmp_path_factory.mktemp("host") / "host"), instance=signed_enclave.parent
    )


@pytest.fixture(scope="session")
def hostile_host(signed_enclave: Path, tmp_path_factory: pytest.TempPathFactory) -> Host:
    """A host program whose PAL gives wrong answers."""
    program = compile_host(
        tmp_path_factory.mktemp("hostile") / "host", without=["ocall.c"], extra=[HERE / "hostile_ocall.c"]
    )
    return Host(program=program, instance=signed_enclave.parent)


@pytest.fixture(scope="session")
def shared_host(signed_enclave: Path, tmp_path_factory: pytest.TempPathFactory) -> Host:
    """A glibc program that loads the PAL as a shared library."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not installed")
    folder = tmp_path_factory.mktemp("shared")
    name = "liberpal-builtin.so"
    library = compile_as(name, folder / name, sorted((NATIVE / "pal").glob("*.[cS]")))
    program = folder / "host"
    subprocess.run(
        [
            compiler, "-DDLOPEN", "-O1", "-pie", "-fPIE", f"-I{NATIVE / 'include'}", HERE / "host.c",
            "-o", program, "-ldl", "-pthread",
        ],
        check=True,
    )  # fmt: skip
    return Host(program=program, instance=signed_enclave.parent, environment={"PAL_LIBRARY": str(library)})
