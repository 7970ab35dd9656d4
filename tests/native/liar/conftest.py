"""The lying host, the core that looks for changes, and a program in the real LibOS that does, built once."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from enclavize.signing.keys import generate_key
from enclavize.signing.local import LocalSigner
from support.liar import CORE, LIAR, Liar, compile_liar
from support.programs import need, need_native
from support.tee import Converter, ordinary_image
from support.torture import BOUNDARY, compile_as, sign

if TYPE_CHECKING:
    from pathlib import Path

    from support.tee import TeeTree

MEASURED_SIZE = 600_000


@pytest.fixture(scope="session")
def liar(tmp_path_factory: pytest.TempPathFactory) -> Liar:
    return Liar(program=compile_liar(tmp_path_factory.mktemp("liar") / "liar"))


@pytest.fixture(scope="session")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instance of the boundary under test with the core that looks for changes."""
    folder = tmp_path_factory.mktemp("core")
    sources = [*BOUNDARY, *(LIAR / name for name in CORE)]
    unsigned = compile_as("libos.so", folder / "core.so", sources)
    generate_key(folder / "key.pem")
    signer = LocalSigner.from_file(folder / "key.pem")
    return sign(unsigned, folder / "instance" / "enclave.signed.so", signer).parent


@pytest.fixture(scope="session")
def victim_image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """victim.c as an ordinary image, with a volume."""
    need("musl-gcc", "umoci", "skopeo")
    need_native()
    base = tmp_path_factory.mktemp("victim")
    rootfs = base / "rootfs"
    (rootfs / "volume").mkdir(parents=True)
    (rootfs / "small").write_bytes(b"small")
    (rootfs / "measured").write_bytes(
        bytes((at * 31 + at // 4096 * 17 + at // 251) & 0xFF for at in range(MEASURED_SIZE))
    )
    subprocess.run(
        [
            "musl-gcc", "-static", "-O1", "-Wall", "-Wextra", "-Werror", LIAR / "victim.c",
            "-o", rootfs / "victim", "-pthread",
        ],
        check=True,
    )  # fmt: skip
    return ordinary_image(base / "layout", rootfs, config=["--config.cmd", "/victim"])


@pytest.fixture(scope="session")
def victim(victim_image: str, tmp_path_factory: pytest.TempPathFactory) -> TeeTree:
    """The victim in the real LibOS, a debug enclave."""
    options = ("--debug", "--allow-args", "--allow-host-network-files", "--volume", "/volume")
    base = tmp_path_factory.mktemp("debug")
    return Converter.create(base).tree(
        victim_image, "tree", *options, "--set", "threads=8", "--set", "switchless=1"
    )


@pytest.fixture(scope="session")
def production_victim(victim_image: str, tmp_path_factory: pytest.TempPathFactory) -> TeeTree:
    """The same as a production enclave."""
    base = tmp_path_factory.mktemp("production")
    options = ("--allow-args", "--volume", "/volume", "--set", "threads=8")
    return Converter.create(base).tree(victim_image, "tree", *options)
