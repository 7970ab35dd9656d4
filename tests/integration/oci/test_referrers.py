"""Artifacts that refer to an image, on a registry without the referrers API and on one that has it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError
from enclavize.oci.referrers import ArtifactBlob, list_referrers, push_referrer, referrers_tag
from enclavize.oci.registry.client import RegistryClient
from enclavize.oci.registry.target import RegistryTarget
from support.images import to_write
from support.registry import Front

if TYPE_CHECKING:
    from enclavize.progress import Reporter
    from support.images import BuiltImage
    from support.registry import FrontHandler, Registry

pytestmark = pytest.mark.integration

SBOM = ArtifactBlob(
    title="sbom.json", media_type="application/spdx+json", data=b'{"spdxVersion": "SPDX-2.3"}'
)


def test_referrers_are_kept_under_a_tag_where_there_is_no_api(
    registry: Registry, reporter: Reporter, image: BuiltImage
) -> None:
    subject = RegistryTarget().deliver(to_write(image, f"{registry.host}/app:1"), reporter)
    client = RegistryClient(registry.host)
    first = push_referrer(client, "app", subject, artifact_type="application/sbom", blobs=(SBOM,))
    second = push_referrer(
        client, "app", subject, artifact_type="application/other", blobs=(SBOM,), annotations={"a": "b"}
    )
    again = push_referrer(client, "app", subject, artifact_type="application/sbom", blobs=(SBOM,))
    assert again == first
    found = list_referrers(client, "app", subject.digest)
    assert {entry.digest for entry in found} == {first.digest, second.digest}
    [other] = list_referrers(client, "app", subject.digest, "application/other")
    assert other.annotations == {"a": "b"}
    _, tagged = client.get_manifest("app", referrers_tag(subject.digest))
    assert len(json.loads(tagged)["manifests"]) == 2
    client.close()


def test_an_image_without_referrers_has_none(
    registry: Registry, reporter: Reporter, image: BuiltImage
) -> None:
    subject = RegistryTarget().deliver(to_write(image, f"{registry.host}/app:1"), reporter)
    client = RegistryClient(registry.host)
    assert list_referrers(client, "app", subject.digest) == ()
    client.close()


def test_the_api_is_used_where_there_is_one(
    registry: Registry, reporter: Reporter, image: BuiltImage
) -> None:
    """The front plays a registry that has the API, and gives its list in two pages."""
    entry = image.descriptor.to_json()

    def with_api(handler: FrontHandler) -> bool:
        if handler.command == "PUT" and "/manifests/" in handler.path:
            return handler.forward(headers={"OCI-Subject": image.descriptor.digest})
        if "/referrers/" not in handler.path:
            return False
        second = "page=2" in handler.path
        page = {"artifactType": "application/two" if second else "application/one"}
        body = json.dumps({"schemaVersion": 2, "manifests": [{**entry, **page}]}).encode()
        link = {} if second else {"Link": f'<{handler.path}?page=2>; rel="next"'}
        return handler.answer(200, body, link)

    with Front(registry.port, with_api) as front:
        subject = RegistryTarget().deliver(to_write(image, f"{front.host}/app:1"), reporter)
        client = RegistryClient(front.host)
        push_referrer(client, "app", subject, artifact_type="application/sbom", blobs=(SBOM,))
        assert front.count(f"PUT /v2/app/manifests/{referrers_tag(subject.digest)}") == 0
        found = list_referrers(client, "app", subject.digest)
        assert [one.artifact_type for one in found] == ["application/one", "application/two"]
        client.close()


def test_a_tag_that_is_no_list_is_not_overwritten(
    registry: Registry, reporter: Reporter, image: BuiltImage
) -> None:
    name = f"{registry.host}/app:{referrers_tag(image.descriptor.digest)}"
    subject = RegistryTarget().deliver(to_write(image, name), reporter)
    client = RegistryClient(registry.host)
    with pytest.raises(EnclavizeError, match="gives an image and not a list"):
        push_referrer(client, "app", subject, artifact_type="application/sbom", blobs=(SBOM,))
    client.close()
