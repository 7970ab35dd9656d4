"""The node's daemon in a process of its own, with rules and a signer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.command import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

RULE = """production = false
[policy]
allow-args = true
allow-env = ["TAKEN"]
volume = ["/data"]
"""


@dataclass(kw_only=True)
class Node:
    """``folder`` has rules, cache, socket, log, and rune's settings; ``signer`` are options of the daemon."""

    folder: Path
    signer: Sequence[str | Path]
    options: Sequence[str | Path] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def socket(self) -> Path:
        return self.folder / "run" / "socket"

    @property
    def rules(self) -> Path:
        return self.folder / "convert.d"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def variables(self) -> dict[str, str]:
        """What tells a rune of this node; engines hand their environment on."""
        return {
            "ENCLAVIZE_RUNE_CONFIG": str(self.folder / "config.toml"),
            "ENCLAVIZE_NODE_SOCKET": str(self.socket),
            "ENCLAVIZE_SIMULATE": "1",
        }

    def prepare(self, rule: str = RULE, settings: str = "") -> None:
        self.rules.mkdir(exist_ok=True)
        (self.rules / "50-all.toml").write_text(rule)
        (self.folder / "config.toml").write_text(f'{settings}ordinary = "convert"\n')

    def start(self) -> None:
        """Start it, and wait until it listens.

        The log is a file, not a pipe: what the daemon said before it answered can be read after the answer.
        """
        path = self.folder / "log"
        known = path.stat().st_size if path.exists() else 0
        with path.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-m", "enclavize", "node", "serve", "--socket", self.socket,
                    "--rules", self.rules, "--cache", self.folder / "cache", *self.signer, *self.options,
                ],
                cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "HOME": str(self.folder), **self.environment},
            )  # fmt: skip
        while b"listening at " not in path.read_bytes()[known:]:
            if self.process.poll() is not None:
                pytest.fail(f"the node's daemon does not start:\n{self.log}")
            time.sleep(0.02)

    def stop(self, *, kill: bool = False) -> int:
        assert self.process is not None
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        code = self.process.wait(60)
        self.process = None
        return code

    def restart(self, *options: str | Path) -> None:
        """End it and start it, with these options."""
        self.stop()
        self.options = options
        self.start()

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run ``enclavize node``."""
        return subprocess.run(
            [sys.executable, "-m", "enclavize", "node", *arguments, "--socket", self.socket],
            cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    def status(self) -> dict[str, Any]:
        done = self.run("status", "--format", "json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert isinstance(found, dict)
        return found

    def leftovers(self) -> list[Path]:
        """What a conversion leaves that is none: nothing, once all have ended."""
        found = list((self.folder / "cache" / "trees").glob(".*"))
        found += [
            path
            for path in (self.folder / "cache" / "cache" / "blobs" / "work").glob("*")
            if path.name != "lock"
        ]
        return found


@contextmanager
def running_node(signer: Sequence[str | Path], *options: str | Path) -> Iterator[Node]:
    """Run a daemon with one rule, for all images."""
    folder = Path(tempfile.mkdtemp(prefix="node-"))
    node = Node(folder=folder, signer=signer, options=options)
    try:
        node.prepare()
        node.start()
        yield node
        assert "Traceback" not in node.log
    finally:
        if node.process:
            node.stop()
        shutil.rmtree(folder, ignore_errors=True)


def measured(image: str, rules: Path, home: Path, *options: str) -> str:
    """Return what a node with these rules must have signed, as somebody else on another machine tells it."""
    done = subprocess.run(
        [
            sys.executable, "-m", "enclavize", "measure", image, "--policy-of", rules,
            "--format", "mrenclave", *options,
        ],
        cwd=REPOSITORY, env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
