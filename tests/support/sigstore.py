"""The other readers and writers of image signatures: cosign, and skopeo with a policy, both from Debian."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from support.downloads import debian

if TYPE_CHECKING:
    from pathlib import Path

LOADER = "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
TIMEOUT = 120


@dataclass(frozen=True, kw_only=True)
class Cosign:
    """cosign of a release of Debian: 2.5 in trixie, 3 in sid. ``home`` is a folder of its own."""

    root: Path
    home: Path

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run it without the transparency log and everything else that is on the net."""
        return _run(
            self.root, "usr/bin/cosign", *arguments, HOME=str(self.home), COSIGN_PASSWORD="",
            COSIGN_EXPERIMENTAL="1", cwd=self.home,
        )  # fmt: skip

    def verify(self, image: str, key: Path, *, referrers: bool = False) -> str:
        """Return what it says of an image; "" if it accepts it."""
        how = ["--experimental-oci11"] if referrers else []
        done = self.run(
            "verify", *how, "--key", key, "--insecure-ignore-tlog", "--allow-http-registry", image
        )
        return "" if done.returncode == 0 else done.stderr

    def make_key(self) -> tuple[Path, Path]:
        """Make a key in cosign's own format, without a passphrase; returns it and the public key."""
        done = self.run("generate-key-pair")
        assert done.returncode == 0, done.stderr
        return self.home / "cosign.key", self.home / "cosign.pub"

    def sign(self, image: str, key: Path) -> None:
        """Sign an image, which is named by digest."""
        done = self.run("sign", "--key", key, "--tlog-upload=false", "--allow-http-registry", "--yes", image)
        assert done.returncode == 0, done.stderr


def cosign(home: Path, release: str = "trixie") -> Cosign:
    """Return cosign; skips the test where it cannot be had."""
    home.mkdir(parents=True, exist_ok=True)
    return Cosign(root=debian(release, "cosign"), home=home)


@dataclass(frozen=True, kw_only=True)
class PolicySkopeo:
    """skopeo that takes only images of one registry with a signature of ``key``.

    Debian 12 has sigstore's signatures switched off, so it is that of Debian 13.
    """

    root: Path
    folder: Path

    def copy(self, source: str, destination: str, *, key: Path, host: str) -> str:
        """Copy an image with its signatures; returns what it says, "" if it accepts it."""
        signed = {
            "type": "sigstoreSigned",
            "keyPath": str(key),
            "signedIdentity": {"type": "matchRepository"},  # cosign signs no tags
        }
        policy = {"default": [{"type": "reject"}], "transports": {"docker": {host: [signed]}}}
        (self.folder / "policy.json").write_text(json.dumps(policy))
        configuration = self.folder / "registries.d"
        configuration.mkdir(exist_ok=True)
        (configuration / "default.yaml").write_text("default-docker:\n  use-sigstore-attachments: true\n")
        done = _run(
            self.root, "usr/bin/skopeo", "--policy", self.folder / "policy.json", "--registries.d",
            configuration, "copy", "--src-tls-verify=false", "--dest-tls-verify=false", source, destination,
        )  # fmt: skip
        return "" if done.returncode == 0 else done.stderr


def skopeo_with_policy(folder: Path) -> PolicySkopeo:
    """Return skopeo; skips the test where it cannot be had."""
    folder.mkdir(parents=True, exist_ok=True)
    return PolicySkopeo(root=debian("trixie", "skopeo"), folder=folder)


def _run(
    root: Path, program: str, *arguments: str | Path, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a program of another release with the C library of that release."""
    command = [root / LOADER, "--library-path", root / "usr/lib/x86_64-linux-gnu", root / program, *arguments]
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )
