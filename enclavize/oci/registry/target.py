"""A registry as a target."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError, UsageError
from enclavize.oci.digest import short
from enclavize.oci.reference import parse_reference
from enclavize.oci.registry.client import RegistryClient
from enclavize.oci.registry.upload import Transfer, push_blob, push_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future

    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.digest import Digest
    from enclavize.oci.reference import ImageReference
    from enclavize.oci.registry.credentials import Credentials
    from enclavize.oci.target import ImageToWrite, LayerToWrite
    from enclavize.progress import Reporter, Task

CONCURRENT_UPLOADS = 4

_GRACE = 1.0
"""Seconds that uploads have to take back what they began, when nobody wants it any more."""


class RegistryTarget:
    """Pushes an image to the registries that its references name."""

    def __init__(self, *, auth: Credentials | None = None, insecure: bool = False) -> None:
        self._auth = auth
        self._insecure = insecure
        self._begun: dict[tuple[str, str], _Push] = {}

    def begin(self, layer: LayerToWrite, references: Iterable[str], reporter: Reporter) -> None:
        """Push a layer of an image that is still to come, in the background.

        What fails is done again when the image is delivered, and told then. ``close`` ends it otherwise.
        """
        for repository in _repositories(references):
            self._push(repository).begin(layer, reporter)

    def deliver(self, image: ImageToWrite, reporter: Reporter) -> Descriptor:
        """Push layers and the configuration, then signatures, then the manifest under each tag.

        So whoever finds the image finds its signature, too.
        """
        repositories = _repositories(image.references)
        if not repositories:
            raise UsageError("a push needs a name", hint="give one with -t NAME")
        try:
            for repository, references in repositories.items():
                self._push(repository).finish(image, references, reporter)
        finally:
            self.close()
        return image.manifest

    def close(self) -> None:
        """Close connections; uploads that are under way are stopped."""
        while self._begun:
            self._begun.popitem()[1].close()

    def _push(self, repository: tuple[str, str]) -> _Push:
        if repository not in self._begun:
            self._begun[repository] = _Push(*repository, auth=self._auth, insecure=self._insecure)
        return self._begun[repository]


def _repositories(names: Iterable[str]) -> dict[tuple[str, str], list[ImageReference]]:
    """Return references by registry and repository. Raises UsageError."""
    repositories: dict[tuple[str, str], list[ImageReference]] = {}
    for text in names:
        reference = parse_reference(text)
        if reference.digest:
            raise UsageError(f"{text!r} names a digest; an image is pushed to a tag")
        repositories.setdefault((reference.registry, reference.repository), []).append(reference)
    return repositories


class _Push:
    """An image on its way to one repository."""

    def __init__(self, registry: str, repository: str, *, auth: Credentials | None, insecure: bool) -> None:
        self._repository = repository
        self._warnings = _Warnings()
        self._client = RegistryClient(registry, auth=auth, insecure=insecure, warn=self._warnings)
        self._pool = ThreadPoolExecutor(CONCURRENT_UPLOADS, thread_name_prefix="push")
        self._stop = threading.Event()
        self._jobs: dict[Digest, Future[bool]] = {}
        """Whether a blob is there now; an error of one that may not fail any more."""

    def begin(self, layer: LayerToWrite, reporter: Reporter) -> None:
        """Push a layer in the background. It may fail."""
        digest = layer.descriptor.digest
        if digest not in self._jobs:
            self._jobs[digest] = self._pool.submit(self._push_layer, layer, reporter, may_fail=True)

    def finish(self, image: ImageToWrite, references: list[ImageReference], reporter: Reporter) -> None:
        """Push what is left of an image."""
        with reporter.task(f"push {references[0].name}") as task:
            self._warnings.show_in(task)
            client, repository = self._client, self._repository
            self._finish_blobs(image, reporter)
            if signature := image.signatures.get(references[0].name):
                from enclavize.oci.registry.signatures import push_signatures

                push_signatures(client, repository, image.manifest, [signature])
            for reference in references:
                media_type = image.manifest_media_type
                client.put_manifest(repository, reference.version, media_type, image.manifest_bytes)
                task.log(f"{reference} is {image.manifest.digest}")

    def close(self) -> None:
        """Stop uploads; their sessions are cancelled if the registry answers soon."""
        self._stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        wait(self._jobs.values(), timeout=_GRACE)
        self._client.close()  # or a thread would wait for a registry that is slow
        self._jobs.clear()  # errors in them hold much

    def _finish_blobs(self, image: ImageToWrite, reporter: Reporter) -> None:
        pending: dict[Future[bool], LayerToWrite] = {}

        def submit(layer: LayerToWrite) -> Future[bool]:
            return self._pool.submit(self._push_layer, layer, reporter, may_fail=False)

        for layer in image.distinct_layers:
            digest = layer.descriptor.digest
            self._jobs[digest] = self._jobs.get(digest) or submit(layer)
            pending[self._jobs[digest]] = layer
        config = self._jobs[image.config.digest] = self._pool.submit(self._push_config, image)
        while pending:
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for job in done:
                layer = pending.pop(job)
                if not job.result():
                    self._jobs[layer.descriptor.digest] = again = submit(layer)
                    pending[again] = layer
        config.result()

    def _push_config(self, image: ImageToWrite) -> bool:
        push_bytes(self._client, self._repository, image.config, image.config_bytes)
        return True

    def _push_layer(self, layer: LayerToWrite, reporter: Reporter, *, may_fail: bool) -> bool:
        """Push one layer, but not to the end when another has failed or the user has had enough."""
        descriptor, origin = layer.descriptor, layer.origin
        mount_from = origin.repository if origin and origin.registry == self._client.registry else None
        with reporter.task(f"push layer {short(descriptor.digest)}", descriptor.size) as task:

            def advance(count: int) -> None:
                if self._stop.is_set() and count > 0:
                    raise EnclavizeError("stopped")
                task.advance(count)

            try:
                transfer = push_blob(
                    self._client,
                    self._repository,
                    descriptor,
                    layer.open,
                    mount_from=mount_from,
                    advance=advance,
                )
            except EnclavizeError as error:
                if not may_fail:
                    raise
                task.log(f"not yet: {error}")
                return False
            if transfer is not Transfer.UPLOADED:
                task.log(f"{transfer} in {self._repository}")
                task.mark_cached()
            return True


class _Warnings:
    """What a registry warns of, kept until there is a task to show it in."""

    def __init__(self) -> None:
        self._task: Task | None = None
        self._kept: list[str] = []

    def __call__(self, text: str) -> None:
        if self._task is None:
            self._kept.append(text)
        else:
            self._task.warn(text)

    def show_in(self, task: Task) -> None:
        """Show what was kept, and what comes."""
        self._task = task
        for text in self._kept:
            task.warn(text)
