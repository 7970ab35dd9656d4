"""``enclavize run`` of images for Gramine: who vouches for what runs outside of the enclave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.programs import need, need_root

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from .conftest import Lab

pytestmark = pytest.mark.integration


@pytest.fixture
def runs(lab: Lab) -> Lab:
    """Return the laboratory where it can run containers; a stand-in prints its arguments."""
    need("runc")
    need_root()
    return lab


def _run(lab: Lab, layout: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
    signer = lab.converter.key.with_name("enclave-key.pub.pem")
    return lab.run(layout, "--signer", str(signer), *map(str, options), "--")


def test_a_signature_says_nothing_of_loaders(runs: Lab, built: Path) -> None:
    done = _run(runs, built)
    assert (done.returncode, done.stdout) == (125, "")
    assert "no digests of the files of gramine that run outside of the enclave" in done.stderr
    assert "NOT checked" in runs.run(built).stderr


def test_a_toolchain_does(runs: Lab, built: Path) -> None:
    done = _run(runs, built, "--toolchain", runs.toolchain)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert "NOT checked" not in done.stderr


def test_digests_of_a_toolchain_do(runs: Lab, built: Path, tmp_path: Path) -> None:
    (tmp_path / "pins").write_text(runs.digests())
    done = _run(runs, built, "--host-files", tmp_path / "pins")
    assert done.returncode == 0, done.stderr
    assert done.stdout
    (tmp_path / "pins").write_text(runs.digests().replace("0", "1"))
    done = _run(runs, built, "--host-files", tmp_path / "pins")
    assert (done.returncode, done.stdout) == (125, "")
    assert "is another file" in done.stderr
    (tmp_path / "pins").write_text("nonsense\n")
    assert _run(runs, built, "--host-files", tmp_path / "pins").returncode == 125
