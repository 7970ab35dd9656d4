"""The lying host and the core that looks for changes, built once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enclavize.signing.keys import generate_key
from enclavize.signing.local import LocalSigner
from support.liar import LIAR, Liar, compile_liar
from support.torture import BOUNDARY, compile_as, sign

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def liar(tmp_path_factory: pytest.TempPathFactory) -> Liar:
    return Liar(program=compile_liar(tmp_path_factory.mktemp("liar") / "liar"))


@pytest.fixture(scope="session")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instance of the boundary under test with the core that looks for changes."""
    folder = tmp_path_factory.mktemp("core")
    sources = [*BOUNDARY, LIAR / "core.c", LIAR / "core_entry.S"]
    unsigned = compile_as("libos.so", folder / "core.so", sources)
    generate_key(folder / "key.pem")
    signer = LocalSigner.from_file(folder / "key.pem")
    return sign(unsigned, folder / "instance" / "enclave.signed.so", signer).parent
