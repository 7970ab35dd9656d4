"""Signatures of images in a real registry, and in one that lies about them."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.errors import EnclavizeError, InvalidImageError, RegistryError
from enclavize.oci.digest import sha256_digest
from enclavize.oci.image_signature import ARTIFACT_TYPE, ImageSignature, SignatureImage
from enclavize.oci.limits import MAX_LAYERS, MAX_MANIFEST_SIZE
from enclavize.oci.media_types import OCI_MANIFEST
from enclavize.oci.referrers import artifact_manifest, list_referrers
from enclavize.oci.registry.client import RegistryClient
from enclavize.oci.registry.signatures import find_signatures, push_signatures
from enclavize.oci.registry.target import RegistryTarget
from enclavize.oci.signature_tag import signature_tag
from support.images import to_write
from support.registry import Front

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from enclavize.oci.descriptor import Descriptor
    from enclavize.progress import Reporter
    from support.images import BuiltImage
    from support.registry import FrontHandler, Registry

pytestmark = pytest.mark.integration

NAME = "team/app"
FIRST = ImageSignature(payload=b'{"one": 1}', signature=b"first")
SECOND = ImageSignature(payload=b'{"two": 2}', signature=b"second")


@pytest.fixture
def client(registry: Registry) -> Iterator[RegistryClient]:
    """Return a client of the registry."""
    with closing(RegistryClient(registry.host)) as made:
        yield made


@pytest.fixture
def subject(registry: Registry, reporter: Reporter, image: BuiltImage) -> Descriptor:
    """Push an image."""
    return RegistryTarget().deliver(to_write(image, f"{registry.host}/{NAME}:1"), reporter)


def found(client: RegistryClient, subject: Descriptor) -> list[ImageSignature]:
    return [signature for _, signature in find_signatures(client, NAME, subject.digest)]


def test_signatures_are_kept_and_added_once(client: RegistryClient, subject: Descriptor) -> None:
    assert found(client, subject) == []
    push_signatures(client, NAME, subject, [FIRST])
    assert found(client, subject) == [FIRST]
    push_signatures(client, NAME, subject, [SECOND, FIRST])
    push_signatures(client, NAME, subject, [SECOND])
    assert found(client, subject) == [FIRST, SECOND]
    tag, manifest = client.get_manifest(NAME, signature_tag(subject.digest))
    assert tag.media_type == OCI_MANIFEST
    config = json.loads(manifest)["config"]
    assert config["mediaType"] == "application/vnd.oci.image.config.v1+json"
    referrers = list_referrers(client, NAME, subject.digest, ARTIFACT_TYPE)
    assert len(referrers) == 2
    _, last = client.get_manifest(NAME, referrers[-1].digest)
    assert json.loads(last)["subject"]["digest"] == subject.digest
    assert json.loads(last)["layers"] == json.loads(manifest)["layers"]


def test_a_signature_is_found_by_its_referrer_alone(
    registry: Registry, client: RegistryClient, subject: Descriptor
) -> None:
    push_signatures(client, NAME, subject, [FIRST])
    hide = Front(registry.port, lambda handler: handler.path.endswith(".sig") and handler.answer(404, b"{}"))
    with hide, closing(RegistryClient(hide.host)) as hidden:
        assert found(hidden, subject) == [FIRST]


def test_there_is_a_largest_number_of_signatures(client: RegistryClient, subject: Descriptor) -> None:
    many = [replace(FIRST, signature=bytes([number])) for number in range(MAX_LAYERS + 1)]
    with pytest.raises(InvalidImageError, match=f"more than {MAX_LAYERS} signatures"):
        push_signatures(client, NAME, subject, many)
    push_signatures(client, NAME, subject, many[:-1])
    with pytest.raises(InvalidImageError, match=f"more than {MAX_LAYERS} signatures"):
        push_signatures(client, NAME, subject, many[-1:])
    assert len(found(client, subject)) == MAX_LAYERS


def test_what_is_there_and_no_signature_is_not_overwritten(
    client: RegistryClient, subject: Descriptor
) -> None:
    index = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
    tag = signature_tag(subject.digest)
    client.put_manifest(NAME, tag, "application/vnd.oci.image.index.v1+json", index)
    with pytest.raises(InvalidImageError, match="not an image of signatures"):
        push_signatures(client, NAME, subject, [FIRST])
    assert client.get_manifest(NAME, tag)[1] == index


def entry_of(data: bytes, **changed: Any) -> dict[str, Any]:
    entry = {"mediaType": OCI_MANIFEST, "digest": sha256_digest(data), "size": len(data)}
    return {**entry, "artifactType": ARTIFACT_TYPE, **changed}


def other_subject(subject: Descriptor) -> bytes:
    other = replace(subject, digest=sha256_digest(b"other"))
    return artifact_manifest(other, ARTIFACT_TYPE, (FIRST.to_layer(),))


LIES: dict[str, Callable[[Descriptor], tuple[list[dict[str, Any]], dict[str, bytes]]]] = {
    "has more than": lambda _subject: (
        [entry_of(b"%d" % number) for number in range(MAX_LAYERS + 1)],
        {},
    ),
    "does not have it": lambda _subject: ([entry_of(b"missing")], {}),
    "is larger than": lambda _subject: ([entry_of(b"large", size=MAX_MANIFEST_SIZE + 1)], {}),
    "does not refer to": lambda subject: (
        [entry_of(other_subject(subject))],
        {sha256_digest(other_subject(subject)): other_subject(subject)},
    ),
    "has another digest": lambda subject: (
        [entry_of(b"honest")],
        {sha256_digest(b"honest"): artifact_manifest(subject, ARTIFACT_TYPE, (FIRST.to_layer(),))},
    ),
    "without its payload": lambda subject: (
        [entry_of(manifest := artifact_manifest(subject, ARTIFACT_TYPE, (SECOND.to_layer(),)))],
        {sha256_digest(manifest): manifest},
    ),
    "is not valid JSON": lambda _subject: ([entry_of(b"{")], {sha256_digest(b"{"): b"{"}),
}


@pytest.mark.parametrize("message", LIES)
def test_a_registry_that_lies_about_referrers_is_refused(
    registry: Registry, subject: Descriptor, message: str
) -> None:
    entries, manifests = LIES[message](subject)

    def lie(handler: FrontHandler) -> bool:
        if "/referrers/" in handler.path:
            return handler.answer(200, json.dumps({"schemaVersion": 2, "manifests": entries}).encode())
        digest = handler.path.rpartition("/")[2]
        if "/manifests/" in handler.path and digest in manifests:
            return handler.answer(200, manifests[digest], {"Content-Type": OCI_MANIFEST})
        return False

    with Front(registry.port, lie) as front, closing(RegistryClient(front.host)) as client:
        wanted = "lists more than" if message == "has more than" else message
        with pytest.raises(EnclavizeError, match=wanted):
            found(client, subject)


def test_an_endless_list_of_referrers_ends(registry: Registry, subject: Descriptor) -> None:
    def lie(handler: FrontHandler) -> bool:
        if "/referrers/" not in handler.path:
            return False
        body = json.dumps({"schemaVersion": 2, "manifests": []}).encode()
        return handler.answer(200, body, {"Link": f'<{handler.path}?again>; rel="next"'})

    with (
        Front(registry.port, lie) as front,
        closing(RegistryClient(front.host)) as client,
        pytest.raises(RegistryError, match="does not end the list"),
    ):
        found(client, subject)


def test_the_tag_has_the_digest_of_the_signed_manifest(subject: Descriptor) -> None:
    tag = signature_tag(subject.digest)
    assert tag == f"{subject.digest.replace(':', '-')}.sig"
    assert len(tag) <= 128
    image = SignatureImage(layers=(FIRST.to_layer(),))
    assert image.add([FIRST]) == image
