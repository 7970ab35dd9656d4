"""The PAL on a fake of SGX hardware, and what runs there, built once."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from enclavize.signing.keys import generate_key
from enclavize.signing.local import LocalSigner
from support.liar import LIAR
from support.programs import REPOSITORY, need, need_native, static_pie_musl
from support.sgx_fake import FAKE, Bench, Machine, compile_fake
from support.tee import Converter, ordinary_image
from support.torture import BOUNDARY, HERE, TORTURE, compile_as, sign

if TYPE_CHECKING:
    from pathlib import Path

    from support.tee import TeeTree


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return Machine(program=compile_fake(tmp_path_factory.mktemp("fake") / "host"))


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench.create(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> LocalSigner:
    key = tmp_path_factory.mktemp("key") / "key.pem"
    generate_key(key)
    return LocalSigner.from_file(key)


@pytest.fixture(scope="session")
def torture(signer: LocalSigner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The instance of the boundary under test with the torture core (tests/native/boundary)."""
    folder = tmp_path_factory.mktemp("torture")
    unsigned = compile_as("libos.so", folder / "torture.so", [*BOUNDARY, *(HERE / name for name in TORTURE)])
    return sign(unsigned, folder / "instance" / "enclave.signed.so", signer).parent


PROGRAMS = ("memory", "signals", "threads", "step_down", "pipes", "tcp")
STARTERS = ("forks", "spawn")
TRANSITIONS = REPOSITORY / "tests" / "bench" / "transitions.c"


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with programs that check the LibOS's promises from inside (tests/native/programs)."""
    need("musl-gcc", "umoci", "skopeo")
    need_native()
    folder = tmp_path_factory.mktemp("rootfs")
    folder.chmod(0o755)  # other users of the image go through it, too
    (folder / "tmp").mkdir()
    (folder / "tmp").chmod(0o1777)
    sources = REPOSITORY / "tests" / "native" / "programs"
    for name in PROGRAMS:
        flags = ("-static", "-O2", "-pthread")
        subprocess.run(["musl-gcc", *flags, sources / f"{name}.c", "-o", folder / name], check=True)
    others = (FAKE / "spin.c", FAKE / "lied_to.c", LIAR / "victim.c", TRANSITIONS)
    for source in others:
        flags = ("-static", "-O2", "-pthread")
        subprocess.run(["musl-gcc", *flags, source, "-o", folder / source.stem], check=True)
    for name in STARTERS:
        static_pie_musl(sources / f"{name}.c", folder / name, "-pthread")
    return folder


@pytest.fixture(scope="session")
def tree(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> TeeTree:
    """The programs in the real LibOS."""
    return _converted(programs, tmp_path_factory)


@pytest.fixture(scope="session")
def frugal_tree(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> TeeTree:
    """The same; a page fault brings little."""
    return _converted(programs, tmp_path_factory, "--set", "fault-around=64K")


def _converted(programs: Path, tmp_path_factory: pytest.TempPathFactory, *options: str) -> TeeTree:
    base = tmp_path_factory.mktemp("tee")
    image = ordinary_image(base / "layout", programs, config=["--config.cmd", "/memory"])
    common = ("--debug", "--allow-args", "--allow-network", "all", "--set", "threads=16")
    return Converter.create(base).tree(image, "tree", *common, *options)
