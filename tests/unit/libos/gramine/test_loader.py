"""A program that was given another interpreter runs as before, with the libraries beside it."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import InvalidImageError
from enclavize.libos.gramine.loader import interpreter_of, with_interpreter, without_system_files
from support.programs import need, zig_cc

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static int large[100000];
__thread int local = 5;
int number(void);
int main(int argc, char **argv)
{
    large[argc] = number() + local;
    if (argc > 1)
        return large[argc];
    puts("again");
    fflush(stdout);
    execl("/proc/self/exe", argv[0], "x", NULL);
    return 1;
}
"""
LOADER = Path("/lib64/ld-linux-x86-64.so.2")
LIBC = Path("/lib/x86_64-linux-gnu/libc.so.6")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a program with a library of its own, which is in no folder that a loader knows."""
    base = tmp_path_factory.mktemp("loader")
    (base / "main.c").write_text(SOURCE)
    (base / "number.c").write_text("int number(void) { return 37; }\n")
    (base / "host").mkdir()
    target: Sequence[str] = ("-target", "x86_64-linux-gnu.2.17", "-O1", "-g0")
    zig_cc(*target, "-shared", base / "number.c", "-o", base / "host" / "libnumber.so")
    zig_cc(*target, "-pie", base / "main.c", base / "host" / "libnumber.so", "-o", base / "program")
    return base / "program"


def test_a_changed_program_runs_and_starts_itself_again(program: Path) -> None:
    if not (LOADER.exists() and LIBC.exists()):
        pytest.skip("no glibc on this machine")
    host = program.parent / "host"
    shutil.copy(LOADER, host / "ld-linux-x86-64.so.2")
    shutil.copy(LIBC, host / "libc.so.6")
    changed = program.with_name("changed")
    changed.write_bytes(with_interpreter(program.read_bytes(), f"{host}/ld-linux-x86-64.so.2", str(host)))
    changed.chmod(0o755)
    done = subprocess.run([changed], capture_output=True, check=False, env={"LD_LIBRARY_PATH": "/nowhere"})
    assert (done.stdout, done.returncode) == (b"again\n", 42)
    maps = subprocess.run(
        [changed], capture_output=True, check=True, text=True, env={"LD_TRACE_LOADED_OBJECTS": "1"}
    ).stdout
    assert f"libc.so.6 => {host}/libc.so.6" in maps


def test_glibcs_loader_takes_nothing_of_the_image_any_more(program: Path) -> None:
    """What /etc/ld.so.preload names would run outside of the enclave."""
    if not (LOADER.exists() and LIBC.exists()):
        pytest.skip("no glibc on this machine")
    need("strace")
    opened = []
    for name, change in (("as-it-is", bytes), ("changed", without_system_files)):
        loader = program.with_name(name)
        loader.write_bytes(change(LOADER.read_bytes()))
        loader.chmod(0o755)
        assert loader.stat().st_size == LOADER.stat().st_size
        done = subprocess.run(
            ["strace", "-e", "trace=access,openat", loader, "/bin/true"],
            capture_output=True,
            text=True,
            check=True,
        )
        opened.append(done.stderr)
    assert '"/etc/ld.so.preload"' in opened[0]
    assert '"/etc/ld.so.cache"' in opened[0]
    assert '"/etc' not in opened[1]
    assert '"/.enclave/.preload"' in opened[1]
    assert without_system_files(b"another loader") == b"another loader"


def test_the_interpreter_is_the_new_one_and_the_rest_stays(program: Path) -> None:
    before = program.read_bytes()
    path = "/.enclave/gramine/host/ld-linux-x86-64.so.2"
    after = with_interpreter(before, path, "/.enclave/gramine/host")
    assert interpreter_of(before) == "/lib64/ld-linux-x86-64.so.2"
    assert interpreter_of(after) == path
    assert after[64 : len(before)] == before[64:]
    assert with_interpreter(after, path, "/x")[64 : len(before)] == before[64:]


@pytest.mark.parametrize(
    "data", [b"", b"\x7fELF", b"#!/bin/sh\n", bytes(200), b"\x7fELF\x02\x01" + bytes(300)]
)
def test_what_is_no_program_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidImageError, match="cannot be given another interpreter"):
        with_interpreter(data, "/x", "/y")


def test_damaged_programs_are_refused_or_changed_but_never_break_it(program: Path) -> None:
    data = program.read_bytes()
    generator = random.Random(5)
    for _ in range(2000):
        damaged = bytearray(data[: generator.choice([len(data), generator.randrange(len(data))])])
        for _ in range(generator.randrange(1, 4)):
            if damaged:
                damaged[generator.randrange(min(len(damaged), 0x400))] = generator.randrange(256)
        with contextlib.suppress(InvalidImageError):
            with_interpreter(bytes(damaged), "/x", "/y")


def test_a_static_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.c").write_text("int main(void) { return 0; }\n")
    zig_cc("-target", "x86_64-linux-musl", "-static", "-pie", "-fPIE", tmp_path / "x.c", "-o", tmp_path / "x")
    assert os.access(tmp_path / "x", os.X_OK)
    with pytest.raises(InvalidImageError):
        with_interpreter((tmp_path / "x").read_bytes(), "/x", "/y")
