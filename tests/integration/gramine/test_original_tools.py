"""Gramine's own tools give the same bytes. They need the Python packages that Gramine needs."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .conftest import layers_of, member

if TYPE_CHECKING:
    from .conftest import Lab

pytestmark = pytest.mark.integration

PYTHON = Path("/usr/bin/python3")
DATE = "2026-01-02"


@pytest.fixture(scope="module")
def tools(lab: Lab) -> dict[str, str]:
    """Return an environment in which gramine-sgx-sign works, or skip."""
    programs = lab.toolchain / "bin"
    if not (programs / "gramine-sgx-sign").exists():
        pytest.skip("this Gramine has no gramine-sgx-sign")
    packages = ":".join(str(path) for path in lab.toolchain.glob("lib/python3*/site-packages"))
    environment = {"PATH": f"{programs}:{PYTHON.parent}:/bin", "PYTHONPATH": packages, "HOME": str(lab.base)}
    done = subprocess.run(
        [PYTHON, programs / "gramine-sgx-sign", "--help"], env=environment, capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"gramine-sgx-sign does not run here: {done.stderr.decode()[-200:]}")
    return environment


def test_manifest_and_signature_are_those_of_gramines_tools(
    lab: Lab, source: str, tools: dict[str, str], tmp_path: Path
) -> None:
    layout = lab.build(source, "dated", "--date", DATE)
    instance = layers_of(layout)[-1]
    ours = member(instance, ".enclave/instance/app.manifest.sgx")
    # What is measured, without everything that the tools fill in.
    template = tmp_path / "app.manifest.template"
    defaults = (b"remote_attestation", b"enable_stats", b"edmm_enable", b"use_exinfo")
    text = ours[: ours.index(b"[sgx.cpu_features]")]
    template.write_bytes(b"".join(line for line in text.splitlines(True) if not line.startswith(defaults)))
    programs = lab.toolchain / "bin"
    commands: list[list[str | Path]] = [
        ["gramine-manifest", "--check", template, tmp_path / "app.manifest"],
        ["gramine-sgx-sign", "-k", lab.converter.key, "-m", tmp_path / "app.manifest", "-o",
         tmp_path / "app.manifest.sgx", "-s", tmp_path / "app.sig", "--date", DATE],
    ]  # fmt: skip
    for program, *arguments in commands:
        done = subprocess.run(
            [PYTHON, programs / program, *arguments], env=tools, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
    assert (tmp_path / "app.manifest.sgx").read_bytes() == ours
    assert (tmp_path / "app.sig").read_bytes() == member(instance, ".enclave/instance/app.sig")


def test_gramines_checker_accepts_the_manifest(
    built: Path, lab: Lab, tools: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "app.manifest"
    path.write_bytes(member(layers_of(built)[-1], ".enclave/instance/app.manifest.sgx"))
    checker = lab.toolchain / "bin" / "gramine-manifest-check"
    done = subprocess.run([PYTHON, checker, path], env=tools, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
