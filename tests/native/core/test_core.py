"""The LibOS's pure parts as ordinary programs, under the address and undefined behaviour sanitizers."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from enclavize.libos.loader_names import RULES, is_loader_like
from support.torture import build_script

HERE = Path(__file__).resolve().parent
NATIVE = HERE.parents[2] / "native"
SCALE = float(os.environ.get("ENCLAVIZE_TEST_SCALE", "0.05"))
FLAGS = (
    "-std=gnu17", "-O1", "-g", "-Wall", "-Wextra", "-fno-builtin",
    "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
)  # fmt: skip

PARTS = {
    "area": ("memory/area.c",),
    "configuration": ("process/configuration.c",),
    "elf": ("process/elf_file.c",),
    "emulation": ("cpu/emulation.c", "cpu/cpuid.c"),
    "instruction": ("cpu/instruction.c",),
    "kept": ("memory/kept.c",),
    "mutex": ("wait/wait.c", "base/spinlock.c"),
    "patch": ("cpu/patch.c", "cpu/instruction.c"),
    "policy": ("process/policy.c", "base/strings.c", "process/configuration.c"),
    "spin": ("wait/spin.c",),
    "switchless": ("boundary/switchless.c",),
    "text": ("base/format.c",),
}
ZIG_PARTS = {"patch": ("PLACES",)}


def build(name: str, target: Path) -> Path:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc, whose sanitizers are used here, is not installed")
    sources = [
        HERE / f"{name}_test.c",
        HERE / "stand_ins.c",
        *(NATIVE / "libos" / part for part in PARTS[name]),
    ]
    script = build_script()
    objects = [
        script.build_zig_object(getattr(script, part), script.HOST_TARGET, target, script.NATIVE / ".cache")
        for part in ZIG_PARTS.get(name, ())
    ]
    program = target / name
    subprocess.run(
        [
            compiler, *FLAGS, f"-I{NATIVE / 'include'}", f"-I{NATIVE / 'libos'}",
            *map(str, sources), *map(str, objects), "-o", str(program),
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return program


def run(*arguments: object) -> None:
    done = subprocess.run(
        [str(argument) for argument in arguments], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["emulation", "instruction", "mutex", "patch", "policy", "spin", "text"])
def test_part_does_what_it_says(name: str, tmp_path: Path) -> None:
    run(build(name, tmp_path))


def test_switchless_calls_are_made_once_and_answered_by_the_host_alone(tmp_path: Path) -> None:
    run(build("switchless", tmp_path), int(1_000_000 * SCALE))


def test_dangerous_variables_are_the_same_inside_and_outside(tmp_path: Path) -> None:
    rng = random.Random(20)
    names = ["HOME", "A", "", "*", "LD_", "LD", "npm_config_x", "NpM_CoNfIg_"]
    for rule in RULES:
        for pattern in rule.patterns:
            for filling in ("", "X", "_OPTIONS", "*"):
                name = pattern.replace("*", filling)
                at = rng.randrange(len(name))
                names += [
                    name,
                    name.lower(),
                    name + "S",
                    "X" + name,
                    name[:-1],
                    name[:at] + name[at:].swapcase(),
                ]
    program = build("policy", tmp_path)
    for start in range(0, len(names), 2000):
        part = names[start : start + 2000]
        done = subprocess.run([program, *part], capture_output=True, text=True, check=True)
        assert [letter == "1" for letter in done.stdout] == list(map(is_loader_like, part))


@pytest.mark.parametrize(
    ("name", "rounds"), [("area", 400_000), ("configuration", 100_000), ("kept", 400_000)]
)
def test_part_withstands_random_input(name: str, rounds: int, tmp_path: Path) -> None:
    program = build(name, tmp_path)
    for seed in range(1, 4):
        run(program, seed, int(rounds * SCALE))


def test_elf_parser_takes_real_programs_and_withstands_changed_ones(tmp_path: Path) -> None:
    files = [
        path
        for path in (sys.executable, "/bin/sh", "/bin/busybox", "/lib64/ld-linux-x86-64.so.2")
        if Path(path).exists()
    ]
    run(build("elf", tmp_path), 1, int(400_000 * SCALE), *files)
