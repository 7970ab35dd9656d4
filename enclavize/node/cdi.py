"""A specification of SGX devices for the Container Device Interface (CDI, SPEC.md, version 0.5.0)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from enclavize.errors import EnclavizeError
from enclavize.node.edit import Edit, read_file
from enclavize.rune.mode import ENCLAVE_DEVICES
from enclavize.rune.sgx_devices import AESM_SOCKET, PROVISION_DEVICES, present

CONFIG = Path("/etc/cdi/enclavize-sgx.json")
KIND = "enclavize.org/sgx"
NEXT_STEP = f"docker run --device {KIND}=enclave TEE_IMAGE; {KIND}=all adds the provisioning device and AESM"

_VERSION = "0.5.0"


def plan(path: Path, *, remove: bool, root: Path = Path("/")) -> Edit:
    """Return the change that names this machine's devices. Raises EnclavizeError if there are none."""
    before = read_file(path)
    if remove:
        return Edit(path=path, before=before, after=None)
    enclave, provision = present(ENCLAVE_DEVICES, root), present(PROVISION_DEVICES, root)
    if not enclave:
        raise EnclavizeError(
            f"this machine has no SGX device ({', '.join(ENCLAVE_DEVICES)})", hint="see: enclavize doctor"
        )
    text = json.dumps(_specification(enclave, provision, root), indent=2)
    return Edit(path=path, before=before, after=f"{text}\n".encode())


def _specification(enclave: list[str], provision: list[str], root: Path) -> dict[str, Any]:
    mounts = []
    if (root / str(AESM_SOCKET).lstrip("/")).exists():
        folder = str(AESM_SOCKET.parent)
        mounts = [
            {"hostPath": folder, "containerPath": folder, "options": ["rbind", "rw", "nosuid", "nodev"]}
        ]
    return {
        "cdiVersion": _VERSION,
        "kind": KIND,
        "devices": [
            {"name": "enclave", "containerEdits": {"deviceNodes": [{"path": path} for path in enclave]}},
            {
                "name": "all",
                "containerEdits": {
                    "deviceNodes": [{"path": path} for path in (*enclave, *provision)],
                    **({"mounts": mounts} if mounts else {}),
                },
            },
        ],
    }
