"""The ``enclavize`` command in a process of its own, with the real native files or stand-ins for them.

As a program: ``python command.py FOLDER ARGUMENT...`` takes the native files from FOLDER.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

REPOSITORY = Path(__file__).resolve().parents[2]

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True, kw_only=True)
class Command:
    """Runs ``enclavize`` with a cache and a home below ``base``.

    It runs inside this process, which spares half a second of imports, or with ``separate`` in its own.
    """

    base: Path
    native: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    separate: bool = False

    def arguments(self, *arguments: str | Path) -> list[str]:
        """Return the whole command line."""
        return [sys.executable, __file__, str(self.native), *map(str, arguments)]

    def variables(self) -> dict[str, str]:
        """Return the environment of the process."""
        return {
            **os.environ,
            "HOME": str(self.base),
            "XDG_CACHE_HOME": str(self.base / "cache"),
            "XDG_DATA_HOME": str(self.base / "data"),
            **self.environment,
        }

    def run(self, *arguments: str | Path, code: int = 0) -> Done:
        """Run it and look at the exit code. No traceback is ever shown."""
        done = self.finish(*arguments)
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def finish(self, *arguments: str | Path) -> Done:
        """Run it, whatever the exit code."""
        if not self.separate:
            with mock.patch.dict(os.environ, self.variables(), clear=True), chdir(self.base):
                return _inside(self.native, *map(str, arguments))
        done = subprocess.run(
            self.arguments(*arguments), env=self.variables(), capture_output=True, text=True, check=False,
            cwd=self.base,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Start it, to be interrupted."""
        return subprocess.Popen(
            self.arguments(*arguments), env=self.variables(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=self.base,
        )  # fmt: skip

    @property
    def blobs(self) -> Path:
        """The blob cache."""
        return self.base / "cache" / "enclavize" / "blobs"

    def leftovers(self) -> list[Path]:
        """Return temporary files that are still in the cache; empty ones may belong to a living build."""
        found = [path for path in (self.blobs / "tmp").glob("*") if path.stat().st_size]
        found += [path for path in (self.blobs / "work").glob("*") if path.name != "lock"]
        return found + list((self.blobs / "index").glob(".*"))


@dataclass(frozen=True, kw_only=True)
class Built:
    """A TEE image in a layout, made with a key."""

    command: Command
    layout: Path
    key: Path
    public_key: Path

    @property
    def name(self) -> str:
        """The image's name."""
        return f"oci:{self.layout}"


def _inside(native: Path, *arguments: str) -> Done:
    """Call the command's main function."""
    from enclavize import __main__
    from enclavize.rune import create, run  # noqa: F401 - loaded below, they would keep the patch

    streams = [io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2)]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    code = 0
    with (
        # The order matters: a module that is imported below the other patch would keep it.
        mock.patch("enclavize.libos.builtin.backend.native_file", native.joinpath),
        mock.patch("enclavize.resources.native_file", native.joinpath),
        mock.patch.object(sys, "argv", ["enclavize", *arguments]),
        redirect_stdout(streams[0]),
        redirect_stderr(streams[1]),
    ):
        try:
            __main__.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    texts = []
    for stream in streams:
        stream.seek(0)
        texts.append(stream.read())
        stream.close()
    return Done(code, *texts)


def _main() -> None:
    sys.path.insert(0, str(REPOSITORY))
    from enclavize import __main__, resources

    native = Path(sys.argv.pop(1))
    vars(resources)["native_file"] = native.joinpath
    __main__.main()


if __name__ == "__main__":
    _main()
