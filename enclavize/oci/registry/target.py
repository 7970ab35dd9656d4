"""A registry as a target."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError, UsageError
from enclavize.oci.digest import short
from enclavize.oci.reference import parse_reference
from enclavize.oci.registry.client import RegistryClient
from enclavize.oci.registry.signatures import push_signatures
from enclavize.oci.registry.upload import Transfer, push_blob, push_bytes

if TYPE_CHECKING:
    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.reference import ImageReference
    from enclavize.oci.registry.credentials import Credentials
    from enclavize.oci.target import ImageToWrite, LayerToWrite
    from enclavize.progress import Reporter

CONCURRENT_UPLOADS = 4


class RegistryTarget:
    """Pushes an image to the registries that its references name."""

    def __init__(self, *, auth: Credentials | None = None, insecure: bool = False) -> None:
        self._auth = auth
        self._insecure = insecure

    def deliver(self, image: ImageToWrite, reporter: Reporter) -> Descriptor:
        """Push blobs, then the configuration and signatures, then the manifest under each tag.

        So whoever finds the image finds its signature, too.
        """
        repositories: dict[tuple[str, str], list[ImageReference]] = {}
        for text in image.references:
            reference = parse_reference(text)
            if reference.digest:
                raise UsageError(f"{text!r} names a digest; an image is pushed to a tag")
            repositories.setdefault((reference.registry, reference.repository), []).append(reference)
        if not repositories:
            raise UsageError("a push needs a name", hint="give one with -t NAME")
        for references in repositories.values():
            self._push(image, references, reporter)
        return image.manifest

    def _push(self, image: ImageToWrite, references: list[ImageReference], reporter: Reporter) -> None:
        registry, repository = references[0].registry, references[0].repository
        with reporter.task(f"push {references[0].name}") as task:
            client = RegistryClient(registry, auth=self._auth, insecure=self._insecure, warn=task.warn)
            pool = ThreadPoolExecutor(CONCURRENT_UPLOADS, thread_name_prefix="push")
            stop = threading.Event()
            try:
                jobs = [
                    pool.submit(_push_layer, client, repository, layer, reporter, stop)
                    for layer in image.distinct_layers
                ]
                for job in as_completed(jobs):
                    job.result()
                push_bytes(client, repository, image.config, image.config_bytes)
                if signature := image.signatures.get(references[0].name):
                    push_signatures(client, repository, image.manifest, [signature])
                for reference in references:
                    media_type = image.manifest_media_type
                    client.put_manifest(repository, reference.version, media_type, image.manifest_bytes)
                    task.log(f"{reference} is {image.manifest.digest}")
            finally:
                stop.set()
                client.close()  # or a thread would wait for a registry that is slow
                pool.shutdown(cancel_futures=True)


def _push_layer(
    client: RegistryClient,
    repository: str,
    layer: LayerToWrite,
    reporter: Reporter,
    stop: threading.Event,
) -> None:
    """Push one layer, but not to the end when another has failed or the user has had enough."""
    descriptor, origin = layer.descriptor, layer.origin
    mount_from = origin.repository if origin and origin.registry == client.registry else None
    with reporter.task(f"push layer {short(descriptor.digest)}", descriptor.size) as task:

        def advance(count: int) -> None:
            if stop.is_set() and count > 0:
                raise EnclavizeError("stopped")
            task.advance(count)

        transfer = push_blob(
            client, repository, descriptor, layer.open, mount_from=mount_from, advance=advance
        )
        if transfer is not Transfer.UPLOADED:
            task.log(f"{transfer} in {repository}")
            task.mark_cached()
