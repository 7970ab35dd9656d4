"""``enclavize inspect``: what a TEE image says about itself."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from enclavize.libos.builtin.backend import BuiltinBackend
from enclavize.libos.builtin.config import parse_configuration
from enclavize.libos.builtin.enclave import read_configuration
from enclavize.oci.cache import BlobCache
from enclavize.oci.digest import sha256_digest
from enclavize.oci.source import resolve
from enclavize.pipeline.workspace import workspace
from enclavize.tee import layout
from enclavize.tee.contents import read_contents

if TYPE_CHECKING:
    from enclavize.libos.builtin.config import MeasuredConfiguration
    from enclavize.oci.location import Location
    from enclavize.progress import Reporter


def inspect_image(location: Location, *, insecure: bool, reporter: Reporter) -> dict[str, Any]:
    """Return facts in the order in which people want them. Raises EnclavizeError."""
    cache = BlobCache()
    image = resolve(location, cache=cache, insecure=insecure, reporter=reporter)
    with closing(image.source), workspace(cache) as workdir:
        contents = read_contents(image, workdir, cache)
        description = contents.description.to_json()
        facts = {
            "image": image.name,
            "digest": image.manifest.digest,
            "config": {"digest": sha256_digest(image.config_bytes)},
            "layers": len(image.layers),
            "size": sum(layer.size for layer in image.layers),
        }
        facts |= {key: value for key, value in description.items() if key != "version"}
        if contents.description.libos == BuiltinBackend.name:
            enclave = contents.path(layout.SIGNED_ENCLAVE).read_bytes()
            facts["measured"] = _measured(parse_configuration(read_configuration(enclave)))
    return facts


def _measured(configuration: MeasuredConfiguration) -> dict[str, Any]:
    user = configuration.user
    return {
        "entrypoint": list(configuration.entrypoint),
        "command": list(configuration.command),
        "environment": list(configuration.environment),
        "working_directory": configuration.working_directory,
        "user": [user.uid, user.gid, *user.groups],
        "stop_signal": configuration.stop_signal,
        "healthcheck": list(configuration.healthcheck),
        "memory": configuration.memory,
        "threads": configuration.threads,
        "hostname": configuration.hostname,
        "rootfs": {
            "size": configuration.rootfs.size,
            "verity": f"sha256:{configuration.rootfs.verity_digest.hex()}",
        },
    }
