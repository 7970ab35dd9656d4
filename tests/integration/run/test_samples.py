"""The samples: language runtimes as users have them, converted and run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.programs import need, need_root
from support.strictness import SIMULATE

pytestmark = pytest.mark.integration

BUILD = Path(__file__).parents[3] / "samples" / "build.sh"


TOOLCHAINS = {"gramine": "ENCLAVIZE_GRAMINE_TOOLCHAIN"}


def toolchain_of(libos: str) -> list[str]:
    """Return the option that names a real toolchain, if the LibOS needs one."""
    if libos not in TOOLCHAINS:
        return []
    path = os.environ.get(TOOLCHAINS[libos])
    if not path:
        pytest.skip(f"{TOOLCHAINS[libos]} does not name a real toolchain")
    return ["--toolchain", path]


@pytest.mark.parametrize("libos", ["builtin", "gramine"])
@pytest.mark.parametrize(
    ("name", "tools", "line"),
    [
        ("hello", ("musl-gcc",), "An ordinary image"),
        ("goroutines", ("go",), "goroutines"),
        ("java", ("javac", "jlink"), "Hello from Java: 719992 characters"),
        ("python", ("/usr/bin/python3",), "Hello from Python:"),
        ("node", ("node",), "Hello from Node: 64 digits"),
    ],
)
def test_a_sample_is_built_converted_and_run(
    tmp_path: Path, libos: str, name: str, tools: tuple[str, ...], line: str
) -> None:
    toolchain = toolchain_of(libos)
    need("umoci", "runc", *tools)
    need_root()
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "HOME": str(tmp_path),
    }
    subprocess.run([BUILD, name, tmp_path / "layout"], env=environment, check=True, capture_output=True)
    enclavize = [sys.executable, "-m", "enclavize"]
    tee = tmp_path / "tee.tar"
    subprocess.run(
        [*enclavize, "build", f"oci:{tmp_path / 'layout'}:1", "-o", f"type=oci,dest={tee}",
         "--set", "memory=4G", "--libos", libos, *toolchain],
        env=environment, check=True, capture_output=True,
    )  # fmt: skip
    ran = subprocess.run(
        [*enclavize, "run", SIMULATE if libos == "builtin" else "--simulate", f"oci-archive:{tee}"],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert line in ran.stdout
