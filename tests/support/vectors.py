"""Access to tests/vectors: what the reference tools wrote for small inputs."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from enclavize.signing.keys import load_private_key
from enclavize.signing.local import LocalSigner

VECTORS = Path(__file__).parents[1] / "vectors"
INTEL = VECTORS / "intel"
OCCLUM = VECTORS / "intel-2.20"
OLDER = VECTORS / "intel-2.19"
GRAMINE = VECTORS / "gramine"
KEY = INTEL / "keys/TEST-ONLY-rsa3072-e3.pem"
PUBLIC_KEY = INTEL / "keys/TEST-ONLY-rsa3072-e3.pub.pem"


def cases(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "vectors.json").read_text())["cases"]
    return found


@functools.cache
def negative(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "negative/negative.json").read_text())
    return found


@functools.cache
def signer() -> LocalSigner:
    """The key of all vectors. In a checkout its file is readable by everyone."""
    return LocalSigner(load_private_key(KEY, accept_doubtful=True))
