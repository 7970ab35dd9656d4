"""The wheel, installed outside the checkout, does what the checkout does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from typing import TYPE_CHECKING

import pytest

from support.programs import REPOSITORY, busybox, need
from support.tee import ENCLAVIZE, ordinary_image

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bin folder of an environment that holds the wheel, and the dependencies of this one."""
    base = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", base, REPOSITORY], check=True
    )
    (wheel,) = base.glob("*.whl")
    environment = base / "environment"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True)
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin"


def test_the_wheel_builds_the_same_image_as_the_checkout(installed: Path, tmp_path: Path) -> None:
    need("umoci")
    rootfs = tmp_path / "rootfs"
    (rootfs / "bin").mkdir(parents=True)
    shutil.copy(busybox(), rootfs / "bin" / "busybox")
    source = ordinary_image(tmp_path / "layout", rootfs, config=("--config.entrypoint", "/bin/busybox"))
    key = tmp_path / "key.pem"
    subprocess.run([installed / "enclavize", "keygen", key], check=True, cwd=tmp_path, capture_output=True)
    built = []
    for number, command in enumerate(([str(installed / "enclavize")], list(ENCLAVIZE))):
        metadata = tmp_path / f"build{number}.json"
        subprocess.run(
            [*command, "build", source, "-t", "tee:1", "--key", key, "--metadata-file", metadata,
             "-o", f"type=oci,dest={tmp_path / f'{number}.tar'}"],
            check=True, cwd=tmp_path, capture_output=True,
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / f"cache{number}")},
        )  # fmt: skip
        built.append(json.loads(metadata.read_text()))
    assert built[0]["containerimage.digest"] == built[1]["containerimage.digest"]
    assert built[0]["enclavize.mrenclave"] == built[1]["enclavize.mrenclave"]


@pytest.mark.parametrize("folder", ["libos_profiles", "templates"])
def test_the_wheel_brings_its_data(installed: Path, tmp_path: Path, folder: str) -> None:
    code = f"import enclavize.resources as r; print(r.__file__, len(list(r.data_dir({folder!r}).iterdir())))"
    done = subprocess.run(
        [installed / "python", "-c", code], check=True, cwd=tmp_path, capture_output=True, text=True
    )
    file, count = done.stdout.split()
    assert not file.startswith(str(REPOSITORY))
    assert int(count) == len(list((REPOSITORY / folder).iterdir()))


def test_the_wheel_brings_rune(installed: Path) -> None:
    need("runc")
    done = subprocess.run([installed / "rune", "--version"], check=True, capture_output=True, text=True)
    assert "rune" in done.stdout
