"""``enclavize inspect``: what a TEE image says about itself."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from enclavize.libos.formats import format_of
from enclavize.oci.cache import BlobCache
from enclavize.oci.digest import sha256_digest
from enclavize.oci.resolve import resolve
from enclavize.pipeline.workspace import workspace
from enclavize.tee.contents import read_contents

if TYPE_CHECKING:
    from enclavize.oci.location import Location
    from enclavize.progress import Reporter


def inspect_image(location: Location, *, insecure: bool, reporter: Reporter) -> dict[str, Any]:
    """Return facts in the order in which people want them. Raises EnclavizeError."""
    cache = BlobCache()
    image = resolve(location, cache=cache, insecure=insecure, reporter=reporter)
    with closing(image.source), workspace(cache) as workdir:
        contents = read_contents(image, format_of(image), workdir, cache)
        description = contents.description.to_json()
        facts = {
            "image": image.name,
            "digest": image.manifest.digest,
            "config": {"digest": sha256_digest(image.config_bytes)},
            "layers": len(image.layers),
            "size": sum(layer.size for layer in image.layers),
        }
        facts |= {key: value for key, value in description.items() if key != "version"}
        facts["signed"] = contents.description.mrsigner is not None
        facts["measured"] = contents.format.measured(contents)
    return facts
