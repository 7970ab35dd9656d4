"""A PAL of somebody else: that of tests/native/runelet_pal, with this machine's C library around it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclavize.resources import native_file
from support.programs import REPOSITORY, zig_cc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LOADER = "ld-linux-x86-64.so.2"
NEEDED = ("libc.so.6", "libpthread.so.0", "libdl.so.2")
PAL = "liberpal-trial.so"

_FOLDERS = (Path("/lib/x86_64-linux-gnu"), Path("/lib64"), Path("/usr/lib64"))
_SOURCE = REPOSITORY / "tests" / "native" / "runelet_pal" / "trial_pal.c"


def c_library() -> Mapping[str, Path]:
    """Return loader and libraries by the names that loaders look for; skip where there is no glibc."""
    found = {
        name: path.resolve()
        for name in (LOADER, *NEEDED)
        for folder in reversed(_FOLDERS)
        if (path := folder / name).exists()
    }
    if len(found) <= len(NEEDED):
        pytest.skip("PALs of others need glibc, which this machine does not have")
    return found


def trial_pal(output: Path, version: int, *options: str) -> Path:
    """Compile the PAL with an API version."""
    zig_cc(
        "-target", "x86_64-linux-gnu.2.17", "-std=c17", "-Wall", "-Wextra", "-Werror", "-O1", "-g0",
        "-shared", "-fPIC", "-fno-sanitize=undefined", "-fvisibility=hidden", f"-DVERSION={version}",
        *options, f"-I{REPOSITORY / 'native' / 'include'}", _SOURCE, "-ldl", "-lpthread", "-o", output,
    )  # fmt: skip
    return output


class PalFolder:
    """What rune mounts on ``/.rune``, made by hand: the runelet can be started without a container."""

    def __init__(self, folder: Path, pal: Path) -> None:
        """Copy everything."""
        (folder / "run").mkdir(parents=True)
        (folder / "run" / "status").touch()
        for name, path in c_library().items():
            shutil.copy(path, folder / name)
        shutil.copy(pal, folder / PAL)
        shutil.copy(native_file("runelet-pal"), folder / "runelet")
        self.folder = folder

    def command(self, *program: str, args: str = "", options: Sequence[str] = ()) -> list[str]:
        """Return the command line that rune would write."""
        folder = self.folder
        return [
            str(folder / LOADER), "--inhibit-cache", "--library-path", str(folder), str(folder / "runelet"),
            f"--pal={folder / PAL}", f"--libraries={folder}", f"--run={folder / 'run'}", f"--args={args}",
            "--log-level=info", *options, "--", *program,
        ]  # fmt: skip

    def run(
        self, *program: str, args: str = "", options: Sequence[str] = (), **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            self.command(*program, args=args, options=options), env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    @property
    def status(self) -> str:
        """What the runelet has told rune."""
        return (self.folder / "run" / "status").read_text()
