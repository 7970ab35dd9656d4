"""A registry as a source."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import IntegrityError, RegistryError
from enclavize.oci.registry.client import RegistryClient
from enclavize.oci.registry.mirrors import endpoints_of
from enclavize.oci.select import select_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.digest import Digest
    from enclavize.oci.image import Image
    from enclavize.oci.image_signature import ImageSignature
    from enclavize.oci.platform import Platform
    from enclavize.oci.reference import ImageReference
    from enclavize.oci.registry.credentials import Credentials
    from enclavize.oci.registry.mirrors import Endpoint
    from enclavize.oci.stream import Sink


class RegistrySource:
    """The blobs of one repository."""

    remote = True

    def __init__(self, client: RegistryClient, reference: ImageReference) -> None:
        self._client = client
        self.origin = reference

    def open_blob(
        self,
        descriptor: Descriptor,
        *,
        advance: Callable[[int], None] | None = None,
        sink: Sink | None = None,
    ) -> BinaryIO:
        """Open a blob."""
        return self._client.open_blob(self.origin.repository, descriptor, advance=advance, sink=sink)

    def read_manifest(self, descriptor: Descriptor) -> bytes:
        """Fetch a manifest by digest."""
        return self._client.get_manifest(self.origin.repository, descriptor.digest)[1]

    def find_signatures(self, signed: Digest) -> Iterator[tuple[str, ImageSignature]]:
        """Yield the signatures of a manifest."""
        from enclavize.oci.registry.signatures import find_signatures

        return find_signatures(self._client, self.origin.repository, signed)

    def add_signatures(self, subject: Descriptor, signatures: Iterable[ImageSignature]) -> None:
        """Add signatures of a manifest."""
        from enclavize.oci.registry.signatures import push_signatures

        push_signatures(self._client, self.origin.repository, subject, signatures)

    def close(self) -> None:
        """Close connections."""
        self._client.close()


def image_from_registry(
    reference: ImageReference,
    platform: Platform,
    *,
    auth: Credentials | None,
    insecure: bool,
    warn: Callable[[str], None],
) -> Image:
    """Find an image in a registry, or in a mirror of it that this machine is told of.

    Raises RegistryError, InvalidImageError, IntegrityError.
    """
    *mirrors, last = endpoints_of(reference, insecure=insecure)
    for mirror in mirrors:
        try:
            return _image_at(mirror, reference, platform, auth=auth, warn=warn)
        except (RegistryError, IntegrityError) as error:
            warn(f"the mirror {mirror.reference.registry} is passed over: {error}")
    return _image_at(last, reference, platform, auth=auth, warn=warn)


def _image_at(
    endpoint: Endpoint,
    name: ImageReference,
    platform: Platform,
    *,
    auth: Credentials | None,
    warn: Callable[[str], None],
) -> Image:
    place = endpoint.reference
    client = RegistryClient(place.registry, auth=auth, insecure=endpoint.insecure, warn=warn)
    try:
        descriptor, data = client.get_manifest(place.repository, place.version)
        return select_image(str(name), descriptor, data, RegistrySource(client, place), platform)
    except BaseException:
        client.close()
        raise
