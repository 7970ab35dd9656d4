"""What rune leaves to runc is as under runc: output, exit codes, errors, log records."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

import enclavize

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.rune import RuneInstallation

pytestmark = pytest.mark.integration


def test_the_version_is_that_of_runc_and_a_line_of_rune(installation: RuneInstallation) -> None:
    runc = subprocess.run(["runc", "--version"], capture_output=True, text=True, check=True).stdout
    assert installation.run("--version").stdout == f"{runc}rune: {enclavize.__version__}\n"


def test_rune_installed_as_runc_finds_the_real_one(tmp_path: Path, installation: RuneInstallation) -> None:
    disguised = tmp_path / "runc"
    shutil.copy(installation.rune, disguised)
    done = subprocess.run([disguised, "features"], capture_output=True, check=False)
    assert done.returncode == 0


def test_a_missing_runc_is_named(tmp_path: Path, installation: RuneInstallation) -> None:
    done = installation.run("list", env={"ENCLAVIZE_RUNC": str(tmp_path / "absent")})
    assert done.returncode == 1
    assert "absent" in done.stderr


@pytest.mark.parametrize("command", ["echo out; echo err >&2; exit 7", "kill -TERM $$", "cat /absent"])
def test_an_ordinary_bundle_runs_as_under_runc(
    ordinary: Callable[..., Path], installation: RuneInstallation, name: str, command: str
) -> None:
    folder = ordinary(command)
    before = (folder / "config.json").read_bytes()
    rune = installation.run("run", "--bundle", folder, name)
    runc = subprocess.run(
        ["runc", "run", "--bundle", folder, name], capture_output=True, text=True, check=False
    )
    assert (rune.stdout, rune.stderr, rune.returncode) == (runc.stdout, runc.stderr, runc.returncode)
    assert (folder / "config.json").read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("state", "absent"),
        ("delete", "absent"),
        ("kill", "absent", "15"),
        ("exec", "absent", "sh"),
        ("exec", "a/b", "sh"),
        ("exec", "a b", "sh"),
        ("exec", "--", "-x", "sh"),
        ("exec", "", "sh"),
        ("checkpoint", "absent"),
        ("create", "--bundle", "/absent", "x"),
    ],
)
def test_errors_and_log_records_are_those_of_runc(
    installation: RuneInstallation, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    def record(log: Path) -> list[tuple[str, str]]:
        return [(item["level"], item["msg"]) for item in map(json.loads, log.read_text().splitlines())]

    common = ["--log-format", "json", "--root", str(tmp_path / "state")]
    rune = installation.run(*common, "--log", tmp_path / "rune.json", *arguments)
    runc = subprocess.run(
        ["runc", *common, "--log", tmp_path / "runc.json", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (rune.returncode, rune.stderr) == (runc.returncode, runc.stderr)
    assert record(tmp_path / "rune.json") == record(tmp_path / "runc.json")
