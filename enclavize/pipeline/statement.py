"""What a measurement was made of: enough to make it again elsewhere.

    {"enclavize": VERSION, "libos": {"name": .., "version": .., "digest": HEX},
     "image": {"name": .., "config": DIGEST},
     "options": {"policy": as in enclave.json, "network": TEXT or null (what suits the image),
                 "memory": BYTES, "threads": COUNT, "kernel_heap": BYTES, "table": {..}},
     "mrenclave": HEX, "isvprodid": .., "isvsvn": .., "debug": ..}

Two statements with the same release, digest, image configuration and options have the same MRENCLAVE; an
image's configuration names its layers by their content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enclavize import __version__
from enclavize.oci.digest import sha256_digest
from enclavize.tee.description import policy_to_json

if TYPE_CHECKING:
    from enclavize.libos.base import Backend
    from enclavize.oci.image import Image
    from enclavize.pipeline.options import BuildOptions


def statement(
    image: Image, options: BuildOptions, backend: Backend, mrenclave: str | None = None
) -> dict[str, Any]:
    """Return the statement as a JSON value; without ``mrenclave`` all that it depends on."""
    instance = options.instance(backend.name)
    return {
        "enclavize": __version__,
        "libos": {"name": backend.name, "version": backend.version, "digest": backend.fingerprint()},
        "image": {"name": image.name, "config": sha256_digest(image.config_bytes)},
        "options": options_statement(options, backend.name),
        **({"mrenclave": mrenclave} if mrenclave else {}),
        "isvprodid": instance.isv_prod_id,
        "isvsvn": instance.isv_svn,
        "debug": instance.debuggable,
    }


def options_statement(options: BuildOptions, libos: str) -> dict[str, Any]:
    """Return the options that are measured, as a JSON value."""
    instance = options.instance(libos)
    return {
        "policy": policy_to_json(instance.policy),
        "network": instance.policy.network,
        "memory": instance.resources.memory,
        "threads": instance.resources.threads,
        "kernel_heap": instance.resources.kernel_heap,
        **({"fault_around": around} if (around := instance.resources.fault_around) else {}),
        **({"switchless": workers} if (workers := instance.resources.switchless) else {}),
        "table": dict(instance.table),
    }
