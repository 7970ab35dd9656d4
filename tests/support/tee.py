"""TEE images for tests: built by the command line, unpacked by umoci, started without a container."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from support.strictness import ENCLU, PATIENCE, refusals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import IO

ENCLAVIZE = (sys.executable, "-m", "enclavize")


def ordinary_image(layout: Path, rootfs: Path, *, config: Sequence[str] = ()) -> str:
    """Make an ordinary image of one layer with umoci; return its name as a source."""
    for arguments in (
        ["init", "--layout", layout],
        ["new", "--image", f"{layout}:1"],
        ["insert", "--image", f"{layout}:1", rootfs, "/"],
        ["config", "--image", f"{layout}:1", "--architecture", "amd64", "--os", "linux", *config],
    ):
        subprocess.run(["umoci", *arguments], check=True, capture_output=True)
    return f"oci:{layout}:1"


@dataclass(frozen=True, kw_only=True)
class Converter:
    """Runs ``enclavize`` with a cache, a data folder and a key of its own."""

    base: Path
    key: Path
    environment: Mapping[str, str]

    @staticmethod
    def create(base: Path) -> Converter:
        """Make the folders and the key."""
        environment = {
            **os.environ,
            "XDG_CACHE_HOME": str(base / "cache"),
            "XDG_DATA_HOME": str(base / "data"),
            "HOME": str(base),
        }
        key = base / "enclave-key.pem"
        converter = Converter(base=base, key=key, environment=environment)
        converter.run("keygen", str(key))
        return converter

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``enclavize`` with these arguments."""
        done = subprocess.run(
            [*ENCLAVIZE, *arguments], env=self.environment, capture_output=True, text=True, check=False
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"enclavize {' '.join(arguments)}: exit code {done.returncode}\n{done.stderr}"
            )
        return done

    def tree(self, source: str, name: str, *options: str) -> TeeTree:
        """Convert ``source`` and unpack the TEE image with skopeo and umoci."""
        archive, layout, tree = self.base / f"{name}.tar", self.base / f"{name}-layout", self.base / name
        signing = () if "--debug" in options else ("--key", str(self.key))
        self.run("build", source, "-t", "tee:1", *signing, "-o", f"type=oci,dest={archive}", *options)
        subprocess.run(["skopeo", "copy", "-q", f"oci-archive:{archive}", f"oci:{layout}:1"], check=True)
        subprocess.run(
            ["umoci", "raw", "unpack", "--image", f"{layout}:1", tree], check=True, capture_output=True
        )
        return TeeTree(root=tree)


@dataclass(frozen=True, kw_only=True)
class TeeTree:
    """An unpacked TEE image: what the host of the enclave holds in its hands."""

    root: Path

    @property
    def instance(self) -> Path:
        """The folder with the signed enclave and the images of the root file system."""
        return self.root / ".enclave" / "instance"

    def run(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        simulate: bool = True,
        wrapper: Sequence[str] = (),
        timeout: float = 120 * PATIENCE,
    ) -> subprocess.CompletedProcess[bytes]:
        """Start the runelet on this tree, as an engine would inside the container.

        Nothing of what the LibOS does may be refused on the way, even if it went well in the end.
        """
        environment = {**self.environment, **(env or {})}
        if not simulate:
            del environment["ENCLAVIZE_SIMULATE"]
        done = subprocess.run(
            [*wrapper, self.runelet, *argv],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=timeout,
        )  # fmt: skip
        assert not (refused := refusals(done.stderr)), "\n".join(refused)
        return done

    def start(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        stdin: int | None = None,
        wrapper: Sequence[str] = (),
        output: IO[bytes] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Do the same without waiting for the end. ``output`` is both streams; else they are pipes."""
        return subprocess.Popen(
            [*wrapper, self.runelet, *argv],
            env={**self.environment, **(env or {})},
            stdin=stdin, stdout=output or subprocess.PIPE, stderr=output or subprocess.PIPE,
        )  # fmt: skip

    @property
    def runelet(self) -> str:
        """The program that an engine starts."""
        return str(self.root / ".enclave" / "bin" / "runelet")

    @property
    def environment(self) -> dict[str, str]:
        """What it is told, beside what an engine tells it."""
        return {
            "ENCLAVIZE_ROOT": str(self.root),
            "ENCLAVIZE_INSTANCE": str(self.instance),
            "ENCLAVIZE_SIMULATE": "1",
            "ENCLAVIZE_ENCLU": ENCLU,
        }
