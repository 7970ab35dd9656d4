"""oras-py as a peer: what it writes is read here, and it reads what is written here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enclavize.oci.digest import sha256_digest
from enclavize.oci.layout import LayoutTarget
from enclavize.oci.location import parse_location
from enclavize.oci.manifest import Manifest, parse_manifest
from enclavize.oci.referrers import TITLE, ArtifactBlob, push_referrer
from enclavize.oci.registry.client import RegistryClient
from enclavize.oci.registry.target import RegistryTarget
from enclavize.oci.resolve import resolve
from support.images import to_write

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.oci.cache import BlobCache
    from enclavize.progress import Reporter
    from support.images import BuiltImage
    from support.registry import Registry

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore"),  # oras-py 0.2.43 and its dependencies warn on import
]

SBOM = ArtifactBlob(
    title="sbom.json", media_type="application/spdx+json", data=b'{"spdxVersion": "SPDX-2.3"}'
)


def test_oras_pulls_our_artifact(
    registry: Registry, reporter: Reporter, image: BuiltImage, tmp_path: Path
) -> None:
    from oras.client import OrasClient

    subject = RegistryTarget().deliver(to_write(image, f"{registry.host}/app:1"), reporter)
    client = RegistryClient(registry.host)
    artifact = push_referrer(client, "app", subject, artifact_type="application/sbom", blobs=(SBOM,))
    client.close()
    oras = OrasClient(hostname=registry.host, insecure=True)
    files = oras.pull(target=f"{registry.host}/app@{artifact.digest}", outdir=str(tmp_path / "out"))
    assert [file.rpartition("/")[2] for file in files] == ["sbom.json"]
    assert (tmp_path / "out/sbom.json").read_bytes() == SBOM.data


def test_an_artifact_that_oras_pushed_is_read(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oras.client import OrasClient

    (tmp_path / "sbom.json").write_bytes(SBOM.data)
    monkeypatch.chdir(tmp_path)
    oras = OrasClient(hostname=registry.host, insecure=True)
    oras.push(target=f"{registry.host}/app:artifact", files=["sbom.json:application/sbom+json"])
    client = RegistryClient(registry.host)
    descriptor, data = client.get_manifest("app", "artifact")
    manifest = parse_manifest(data, "the artifact")
    assert isinstance(manifest, Manifest)
    (layer,) = manifest.layers
    assert (descriptor.digest, layer.annotations[TITLE]) == (sha256_digest(data), "sbom.json")
    with client.open_blob("app", layer) as stream:
        assert stream.read() == SBOM.data
    client.close()


def test_a_layout_of_ours_is_pushed_by_oras(
    registry: Registry, reporter: Reporter, cache: BlobCache, image: BuiltImage, tmp_path: Path
) -> None:
    from oras.layout import NewLayout
    from oras.provider import Registry as OrasRegistry

    LayoutTarget(tmp_path / "layout", "1").deliver(to_write(image, "app:1"), reporter)
    oras = OrasRegistry(hostname=registry.host, insecure=True)
    NewLayout(str(tmp_path / "layout")).push_to_registry(oras, f"{registry.host}/app:1", tag="1")
    pushed = resolve(parse_location(f"{registry.host}/app:1"), cache=cache, reporter=reporter)
    assert pushed.manifest.digest == image.descriptor.digest


def test_a_layout_of_oras_is_read(
    registry: Registry, reporter: Reporter, cache: BlobCache, image: BuiltImage, tmp_path: Path
) -> None:
    from oras.layout import NewLayoutFromRegistry
    from oras.provider import Registry as OrasRegistry

    RegistryTarget().deliver(to_write(image, f"{registry.host}/app:1"), reporter)
    oras = OrasRegistry(hostname=registry.host, insecure=True)
    NewLayoutFromRegistry(str(tmp_path / "layout"), oras, f"{registry.host}/app:1", tag="1")
    found = resolve(parse_location(f"oci:{tmp_path / 'layout'}"), cache=cache, reporter=reporter)
    assert found.manifest.digest == image.descriptor.digest
