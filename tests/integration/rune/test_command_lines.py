"""Random command lines: where rune becomes runc, runc never finds a TEE bundle.

A TEE container it finds only to run a command in the enclave.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from random import Random
from typing import TYPE_CHECKING

import pytest

from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.rune import RuneInstallation

pytestmark = pytest.mark.integration

REACHED_CONTAINER = "config must not be nil"
"""What runc says of the state of the container TEE, which has no more in it than rune looks at."""

REACHED_BUNDLE = "unmarshal number"
"""What runc says of the TEE bundle's config.json, whose process is a number."""

FOR_THE_ENCLAVE = "TEE /.enclave/bin/runelet exec -- sh"
TELLING_RUNC = '#!/bin/sh\necho "runc: $*"\nexec runc "$@"\n'

WITH_VALUE = {
    "global": ("--root", "-root", "--log", "--log-format", "--rootless", "--criu", "--new"),
    "create": ("--bundle", "-b", "-bundle", "--pid-file", "--console-socket", "--preserve-fds", "--new"),
    "exec": ("--process", "-p", "-e", "--cwd", "--user", "--cap", "--pid-file", "--new"),
}
ALONE = {
    "global": ("--root=state", "--debug", "--systemd-cgroup", "--version=false", "--help=false", "--"),
    "create": ("--bundle=tee", "--bundle=", "--no-pivot", "--no-new-keyring", "--keep", "-d", "--", "-"),
    "exec": ("-t", "--tty", "--env=A=B", "-d", "--ignore-paused", "--", "-"),
}
VALUES = (
    "state",
    "",
    ".",
    "./state",
    "tee",
    "ordinary",
    "TEE",
    "text",
    "auto",
    "0",
    "x/../state",
    "x/../tee",
)


@pytest.fixture
def rune(installation: RuneInstallation, tmp_path: Path) -> Callable[[list[str]], str]:
    """Run rune with the real runc and a Python part that only says so; return all that was said."""
    programs = tmp_path / "programs"
    programs.mkdir()
    shutil.copy(installation.rune, programs / "rune")
    (programs / "enclavize-rune").write_text("#!/bin/sh\necho the Python part\n")
    (programs / "enclavize-rune").chmod(0o755)
    (tmp_path / "state" / "TEE").mkdir(parents=True)
    state = {"config": {"labels": ["org.enclavize.tee=1"]}}
    (tmp_path / "state" / "TEE" / "state.json").write_text(json.dumps(state))
    for name in ("tee", "ordinary"):
        (tmp_path / name / "rootfs").mkdir(parents=True)
    (tmp_path / "tee" / "rootfs" / ".enclave").mkdir()
    (tmp_path / "tee" / "rootfs" / ".enclave" / "enclave.json").touch()
    (tmp_path / "tee" / "config.json").write_text('{"root": {"path": "rootfs"}, "process": 7}')
    (tmp_path / "x").symlink_to("tee/rootfs")

    (programs / "runc").write_text(TELLING_RUNC)
    (programs / "runc").chmod(0o755)
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "ENCLAVIZE_RUNC": str(programs / "runc")}

    def run(arguments: list[str]) -> str:
        done = subprocess.run(
            [programs / "rune", *arguments], env=environment, cwd=tmp_path,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        return done.stdout + done.stderr

    return run


def _options(random: Random, kind: str, most: int) -> list[str]:
    """Return some options; a few have no value, or have one where none belongs."""
    words = []
    for _ in range(random.randrange(most + 1)):
        with_value = random.random() < 0.5
        words.append(random.choice((WITH_VALUE if with_value else ALONE)[kind]))
        if with_value == (random.random() < 0.9):
            words.append(random.choice(VALUES))
    return words


def _line(random: Random) -> list[str]:
    command = random.choice(["create", "run", "exec", "exec", "restore"])
    kind = "exec" if command == "exec" else "create"
    root = ["--root", "state"] if random.random() < 0.7 else []
    bundle = ["--bundle", "tee"] if kind == "create" and random.random() < 0.7 else []
    behind = ["sh"] if kind == "exec" else _options(random, kind, 1)
    return [
        *root, *_options(random, "global", 1), command, *_options(random, kind, 1), *bundle,
        *_options(random, kind, 1), "TEE", *behind,
    ]  # fmt: skip


def test_the_marks_are_what_runc_says(rune: Callable[[list[str]], str], tmp_path: Path) -> None:
    for arguments, mark in (
        (["--root", "state", "exec", "TEE", "sh"], REACHED_CONTAINER),
        (["--root", "state", "create", "--bundle", "tee", "TEE"], REACHED_BUNDLE),
    ):
        done = subprocess.run(["runc", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert mark in done.stderr
        said = rune(arguments)
        assert mark not in said or (mark == REACHED_CONTAINER and FOR_THE_ENCLAVE in said)


def test_random_command_lines(rune: Callable[[list[str]], str]) -> None:
    random = Random(11)
    for _ in range(scaled(4000)):
        arguments = _line(random)
        said = rune(arguments)
        assert REACHED_CONTAINER not in said or f"{FOR_THE_ENCLAVE}\n" in said, arguments
        assert REACHED_BUNDLE not in said, arguments
