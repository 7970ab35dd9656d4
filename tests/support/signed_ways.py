"""One image, signed with a key's file, in two steps, and by a service: it is the same image each time."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from support.command import Command
    from support.signing_service import Service

WAYS = ("by-key", "two-step", "by-service")
"""The layouts that ``sign_in_every_way`` makes."""


def to(name: str) -> tuple[str, str]:
    """Return the options that write a layout."""
    return "-o", f"type=oci,tar=false,dest={name}"


def digest_of(command: Command, name: str) -> str:
    """Return the digest of the only image in a layout."""
    index = json.loads((command.base / name / "index.json").read_text())
    digest: str = index["manifests"][0]["digest"]
    return digest


def sign_in_two_steps(
    command: Command, unsigned: str, signed: str, *, key: str | Path, public_key: str | Path
) -> None:
    """Sign an image as who keeps the key apart does: its material by openssl."""
    command.run("sign", "material", f"oci:{unsigned}", "-o", "m.bin")
    openssl = ["openssl", "dgst", "-sha256", "-sign", str(key), "-out", "m.sig", "m.bin"]
    subprocess.run(openssl, check=True, cwd=command.base)
    files = ("--material", "m.bin", "--signature", "m.sig", "--public-key", public_key)
    command.run("sign", "attach", f"oci:{unsigned}", *files, *to(signed))


def sign_in_every_way(
    command: Command, service: Service, build: Sequence[str | Path], public_key: str | Path
) -> None:
    """Make the layouts of ``WAYS`` and compare their digests. The service's key is ``main.pem``."""
    key = service.folder / "main.pem"
    command.run(*build, "--key", key, *to("by-key"))
    command.run(*build, "--unsigned", *to("unsigned"))
    sign_in_two_steps(command, "unsigned", "two-step", key=key, public_key=public_key)
    asks = ("--signer", service.url, "--signer-token-file", service.folder / "ci.token")
    command.run(*build, *asks, "--signer-ca", service.ca, "--no-cache", *to("by-service"))
    assert len({digest_of(command, name) for name in WAYS}) == 1


def compared(command: Command, one: str, other: str) -> dict[str, Any]:
    """Return what ``diff`` says of two layouts."""
    done = command.finish("diff", f"oci:{one}", f"oci:{other}", "--format", "json")
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if found["equal"] else 1), done.stderr
    return found
