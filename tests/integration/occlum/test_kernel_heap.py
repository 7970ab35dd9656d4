"""The kernel heap that an image for Occlum gets: for its files, and for its program to start."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from support.images import directory, file

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.occlum.conftest import Converter

pytestmark = pytest.mark.integration

INSTANCE = ".enclave/instance"

MANY = [directory("many"), *(file(f"many/{number}", "x") for number in range(1400))]


@pytest.mark.parametrize(
    ("options", "table", "heap"),
    [
        ((), "", 44),
        (("--set", "kernel-heap=40MiB"), "", 40),
        ((), "resource_limits.kernel_space_heap_size = '48MB'", 48),
        ((), "resource_limits.kernel_space_heap_max_size = '36MB'", 36),
    ],
)
def test_the_kernel_heap_grows_with_the_files(
    converter: Converter, make: Callable[..., str], options: tuple[str, ...], table: str, heap: int
) -> None:
    settings = converter.command.base / "options.toml"
    settings.write_text(f"[occlum]\n{table}\n")
    done = converter.command.run(
        "build", make(MANY), "--libos", "occlum", "--toolchain", converter.toolchain, "--key", converter.key,
        "--config", settings, *options, "-o", "type=local,dest=tree",
    )  # fmt: skip
    document = json.loads((converter.command.base / "tree" / INSTANCE / "Occlum.json").read_text())
    assert document["resource_limits"]["kernel_space_heap_size"] == f"{heap}MB"
    assert ("--set kernel-heap=44M" in done.stderr) is (heap < 44)
    assert "--ulimit nofile=15" in done.stderr


def test_a_large_program_gets_the_kernel_heap_to_start(
    converter: Converter, make: Callable[..., str], program: bytes
) -> None:
    large = make([file("usr/bin/app", program + bytes(40 << 20), 0o755)])

    def built(name: str, *options: str) -> tuple[str, str]:
        done = converter.command.run(
            "build", large, "--libos", "occlum", "--toolchain", converter.toolchain, "--key", converter.key,
            *options, "-o", f"type=local,dest={name}",
        )  # fmt: skip
        document = json.loads((converter.command.base / name / INSTANCE / "Occlum.json").read_text())
        return document["resource_limits"]["kernel_space_heap_size"], done.stderr

    heap, said = built("advised")
    assert heap == "52MB"
    assert "cannot start it" not in said
    heap, said = built("asked", "--set", "kernel-heap=32MiB")
    assert heap == "32MB"
    assert "Occlum cannot start it with less than 52M (--set kernel-heap=52M)" in said
