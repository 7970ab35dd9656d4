"""Two and sixteen lanes of the enclave's SHA-256 give what hashlib gives: known answers, random lengths."""

from __future__ import annotations

import hashlib
import random
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.programs import zig_cc
from support.torture import build_script

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent
KNOWN = {  # FIPS 180-4, examples of NIST
    b"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    b"": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": (
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
}


VARIANTS = {  # the object, the function, what the processor must have
    "two": ("SHA256_LANES", "sha256_each_ni", {"sha_ni"}),
    "sixteen": ("SHA256_WIDE", "sha256_each_wide", {"avx512f", "avx512bw", "avx512vl"}),
}


@pytest.fixture(scope="module", params=VARIANTS)
def digests(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[bytes, int, int], list[str]]:
    """Return what hashes `count` messages of one size."""
    name, function, needed = VARIANTS[request.param]
    if missing := needed - set(Path("/proc/cpuinfo").read_text().split()):
        pytest.skip(f"this processor has no {', '.join(sorted(missing))}")
    folder = tmp_path_factory.mktemp("lanes")
    build = build_script()
    lanes = build.build_zig_object(getattr(build, name), build.HOST_TARGET, folder, build.NATIVE / ".cache")
    program = folder / "lanes"
    zig_cc(
        "-target", "x86_64-linux-musl", "-O2", "-static", f"-DEACH={function}",
        HERE / "hash_lanes_test.c", lanes, "-o", program,
    )  # fmt: skip

    def run(data: bytes, size: int, count: int) -> list[str]:
        done = subprocess.run([program, str(size), str(count)], input=data, capture_output=True, check=True)
        return [done.stdout[at : at + 32].hex() for at in range(0, 32 * count, 32)]

    return run


@pytest.mark.parametrize("message", KNOWN)
def test_known_answers(message: bytes, digests: Callable[[bytes, int, int], list[str]]) -> None:
    assert digests(message * 3, len(message), 3) == [KNOWN[message]] * 3


def test_random_lengths_and_counts(digests: Callable[[bytes, int, int], list[str]]) -> None:
    generator = random.Random(11)
    sizes = [0, 1, 55, 56, 63, 64, 65, 119, 120, 4095, 4096, *(generator.randrange(9000) for _ in range(60))]
    for size in sizes:
        count = generator.randrange(1, 36)
        data = generator.randbytes(size * count)
        expected = [hashlib.sha256(data[size * at : size * at + size]).hexdigest() for at in range(count)]
        assert digests(data, size, count) == expected
