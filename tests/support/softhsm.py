"""A SoftHSM token for tests, with keys in it. The library can be configured once in a process."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

PIN = "1234-hsm-pin"
TOKEN = "enclavize test"
_MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so")


@dataclass(frozen=True, kw_only=True)
class SoftHsm:
    """``environment`` is what a process needs to see the token."""

    module: str
    environment: dict[str, str]

    def uri(self, label: str) -> str:
        return f"pkcs11:token={TOKEN.replace(' ', '%20')};object={label}"


def make_softhsm(folder: Path) -> SoftHsm:
    """Initialise a token below ``folder``; skips the test where SoftHSM is not installed."""
    pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")
    module = next((path for path in _MODULES if Path(path).exists()), None)
    if module is None:
        pytest.skip("SoftHSM (Debian: softhsm2) is not installed")
    (folder / "tokens").mkdir()
    conf = folder / "softhsm2.conf"
    conf.write_text(
        f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    environment = {"SOFTHSM2_CONF": str(conf), "ENCLAVIZE_PKCS11_MODULE": module}
    command = [
        "softhsm2-util",
        "--init-token",
        "--free",
        "--label",
        TOKEN,
        "--so-pin",
        "so-1234",
        "--pin",
        PIN,
    ]
    subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True)
    return SoftHsm(module=module, environment=environment)
