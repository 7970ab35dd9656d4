"""Pulling from and pushing to a real registry."""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import IntegrityError, InvalidImageError, RegistryError
from enclavize.oci.fetch import fetch_blob
from enclavize.oci.location import parse_location
from enclavize.oci.media_types import DOCKER_MANIFEST
from enclavize.oci.reference import parse_reference
from enclavize.oci.registry import transport
from enclavize.oci.registry.client import RegistryClient
from enclavize.oci.registry.target import RegistryTarget
from enclavize.oci.resolve import resolve
from support.images import build_image, build_index, file, to_write, write_layout
from support.registry import Front, free_port, running_registry

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.image import Image
    from enclavize.oci.media_types import Compression
    from enclavize.progress import Reporter
    from support.images import BuiltImage, BuiltIndex
    from support.registry import FrontHandler, Registry

pytestmark = pytest.mark.integration


def skopeo_copy(source: str, destination: str, *options: str) -> None:
    """Copy with the reference tool."""
    command = ["skopeo", "copy", "-q", "--insecure-policy", *options, source, destination]
    subprocess.run(command, check=True, timeout=120)


def push(registry: Registry, image: BuiltImage, name: str, reporter: Reporter) -> str:
    """Push an image and return its whole name."""
    reference = f"{registry.host}/{name}"
    RegistryTarget().deliver(to_write(image, reference), reporter)
    return reference


def pull(name: str, cache: BlobCache, reporter: Reporter) -> Image:
    """Resolve a location."""
    return resolve(parse_location(name), cache=cache, reporter=reporter)


def push_index(registry: Registry, index: BuiltIndex, images: list[BuiltImage], reporter: Reporter) -> None:
    """Push an index as ``multi:1``."""
    for number, image in enumerate(images):
        push(registry, image, f"multi:part{number}", reporter)
    client = RegistryClient(registry.host)
    client.put_manifest("multi", "1", index.media_type, index.index_bytes)
    client.close()


def check_layers(found: Image, image: BuiltImage, cache: BlobCache) -> None:
    """Read all layers through the cache, and compare."""
    assert len(found.layers) == len(image.layers)
    for descriptor, layer in zip(found.layers, image.layers, strict=True):
        with fetch_blob(found, descriptor, cache) as stream:
            assert stream.read() == layer.blob
    found.source.close()


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
@pytest.mark.parametrize("docker", [False, True])
def test_what_was_pushed_is_pulled(
    registry: Registry, cache: BlobCache, reporter: Reporter, compression: Compression, docker: bool
) -> None:
    image = build_image(
        [[file("a", "1")], [file("b", bytes(3 << 20))]], compression=compression, docker=docker
    )
    name = push(registry, image, "demo/app:1", reporter)
    found = pull(name, cache, reporter)
    assert found.manifest == image.descriptor
    assert found.manifest_bytes == image.manifest_bytes
    assert found.config_bytes == image.config_bytes
    assert found.config.cmd == ("/bin/true",)
    check_layers(found, image, cache)
    assert all(cache.has(layer.descriptor.digest) for layer in image.layers)


@pytest.mark.parametrize("with_media_type", [False, True])
@pytest.mark.parametrize("docker", [False, True])
def test_an_index_gives_the_image_for_amd64(
    registry: Registry, cache: BlobCache, reporter: Reporter, docker: bool, with_media_type: bool
) -> None:
    amd64 = build_image([[file("a", "amd64")]], docker=docker)
    arm64 = build_image([[file("a", "arm64")]], docker=docker, platform=("linux", "arm64"))
    index = build_index(
        [arm64, amd64], docker=docker, attestations=not docker, with_media_type=with_media_type or docker
    )
    push_index(registry, index, [arm64, amd64, *index.attestations], reporter)
    found = pull(f"{registry.host}/multi:1", cache, reporter)
    assert found.manifest.digest == amd64.descriptor.digest
    check_layers(found, amd64, cache)


def test_an_index_without_amd64_names_what_it_has(
    registry: Registry, cache: BlobCache, reporter: Reporter, tmp_path: Path
) -> None:
    images = [build_image([[file("a")]], platform=("linux", name)) for name in ("arm64", "s390x")]
    layout = write_layout(tmp_path / "layout", {"1": build_index(images)})
    skopeo_copy(f"oci:{layout}:1", f"docker://{registry.host}/multi:1", "--all", "--dest-tls-verify=false")
    with pytest.raises(InvalidImageError, match="no image for linux/amd64") as caught:
        pull(f"{registry.host}/multi:1", cache, reporter)
    assert caught.value.hint == "it has: linux/arm64, linux/s390x"


def test_a_digest_names_the_manifest_exactly(
    registry: Registry, cache: BlobCache, reporter: Reporter, image: BuiltImage
) -> None:
    push(registry, image, "app:1", reporter)
    name = f"{registry.host}/app@{image.descriptor.digest}"
    found = pull(name, cache, reporter)
    assert found.manifest_bytes == image.manifest_bytes
    found.source.close()


def test_skopeo_reads_what_we_push_and_we_read_what_skopeo_pushes(
    registry: Registry, cache: BlobCache, reporter: Reporter, tmp_path: Path, image: BuiltImage
) -> None:
    name = push(registry, image, "ours:1", reporter)
    skopeo_copy(f"docker://{name}", f"oci:{tmp_path / 'out'}:1", "--src-tls-verify=false")
    blob = tmp_path / "out/blobs/sha256" / image.descriptor.digest.removeprefix("sha256:")
    assert blob.read_bytes() == image.manifest_bytes
    theirs = f"{registry.host}/theirs:1"
    skopeo_copy(f"oci:{tmp_path / 'out'}:1", f"docker://{theirs}", "--dest-tls-verify=false")
    found = pull(theirs, cache, reporter)
    assert found.manifest.digest == image.descriptor.digest
    check_layers(found, image, cache)


def test_docker_manifests_that_skopeo_makes_are_read(
    registry: Registry, cache: BlobCache, reporter: Reporter, tmp_path: Path, image: BuiltImage
) -> None:
    layout = write_layout(tmp_path / "layout", {"1": image})
    name = f"{registry.host}/docker:1"
    skopeo_copy(f"oci:{layout}:1", f"docker://{name}", "--dest-tls-verify=false", "--format=v2s2")
    found = pull(name, cache, reporter)
    assert found.manifest.media_type == DOCKER_MANIFEST
    check_layers(found, image, cache)


def test_layers_of_the_same_registry_are_mounted_and_present_ones_skipped(
    registry: Registry, reporter: Reporter, image: BuiltImage
) -> None:
    push(registry, image, "base:1", reporter)
    origin = parse_reference(f"{registry.host}/base:1")
    with Front(registry.port) as front:
        origin_by_front = parse_reference(f"{front.host}/base:1")
        target = RegistryTarget()
        target.deliver(to_write(image, f"{front.host}/derived:1", origin=origin_by_front), reporter)
        assert front.count("POST /v2/derived/blobs/uploads/?mount=") == 2
        assert front.count("PUT /v2/derived/blobs/uploads/") == 1  # the configuration has no origin
        front.requests.clear()
        target.deliver(to_write(image, f"{front.host}/derived:2", origin=origin), reporter)
        assert front.count("POST") == 0
        assert front.count("PUT /v2/derived/manifests/2") == 1


def test_layers_of_another_registry_are_not_asked_for_by_name(
    registry: Registry, reporter: Reporter, image: BuiltImage
) -> None:
    origin = parse_reference("registry.example.com/private/base:1")
    with Front(registry.port) as front:
        RegistryTarget().deliver(to_write(image, f"{front.host}/app:1", origin=origin), reporter)
        assert not any("mount" in line or "private" in line for line, _ in front.requests)


def test_connections_are_used_again(registry: Registry, cache: BlobCache, reporter: Reporter) -> None:
    image = build_image([[file("a", bytes(100_000))]])
    with Front(registry.port) as front:
        RegistryTarget().deliver(to_write(image, f"{front.host}/app:1"), reporter)
        assert front.count("") == 7  # HEAD, POST, PUT for two blobs; the manifest; TLS was no request
        assert front.connections <= 3  # one is the attempt at TLS
        front.connections = 0
        check_layers(pull(f"{front.host}/app:1", cache, reporter), image, cache)
        assert front.connections <= 3


def test_a_mount_that_the_registry_does_not_do_becomes_an_upload(
    registry: Registry, cache: BlobCache, reporter: Reporter, image: BuiltImage
) -> None:
    origin = parse_reference(f"{registry.host}/nothing/there:1")
    name = f"{registry.host}/derived:1"
    RegistryTarget().deliver(to_write(image, name, origin=origin), reporter)
    check_layers(pull(name, cache, reporter), image, cache)


def test_a_mount_that_is_forbidden_becomes_an_upload(
    registry: Registry, cache: BlobCache, reporter: Reporter, image: BuiltImage
) -> None:
    def forbid(handler: FrontHandler) -> bool:
        return "mount=" in handler.path and handler.answer(403)

    with Front(registry.port, forbid) as front:
        name = f"{front.host}/derived:1"
        origin = parse_reference(f"{front.host}/base:1")
        RegistryTarget().deliver(to_write(image, name, origin=origin), reporter)
        check_layers(pull(name, cache, reporter), image, cache)


def test_a_proxy_is_used_but_not_for_this_machine(
    registry: Registry, cache: BlobCache, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "FIRST_DELAY", 0.001)
    with Front(registry.port, lambda handler: handler.answer(418)) as proxy:
        monkeypatch.setenv("https_proxy", f"user:pass%20word@{proxy.host}")
        monkeypatch.setenv("http_proxy", proxy.host)
        with pytest.raises(RegistryError, match="MANIFEST_UNKNOWN"):
            pull(f"{registry.host}/app:1", cache, reporter)
        assert proxy.requests == []
        with pytest.raises(RegistryError):
            pull("registry.invalid/app:1", cache, reporter)
        line, headers = proxy.requests[0]
    assert line == "CONNECT registry.invalid:443"
    assert headers["proxy-authorization"] == "Basic " + base64.b64encode(b"user:pass word").decode()


def test_one_delivery_gives_several_names(
    registry: Registry, cache: BlobCache, reporter: Reporter, image: BuiltImage
) -> None:
    names = [f"{registry.host}/{name}" for name in ("a:1", "a:2", "b/c:latest")]
    RegistryTarget().deliver(to_write(image, *names), reporter)
    for name in names:
        found = pull(name, cache, reporter)
        assert found.manifest.digest == image.descriptor.digest
        found.source.close()


def test_relative_upload_locations_are_followed(
    tmp_path: Path, cache: BlobCache, reporter: Reporter, image: BuiltImage
) -> None:
    with running_registry(tmp_path / "relative", relative_urls=True) as registry:
        name = push(registry, image, "app:1", reporter)
        check_layers(pull(name, cache, reporter), image, cache)


def test_a_wrong_name_is_told_in_one_line(registry: Registry, cache: BlobCache, reporter: Reporter) -> None:
    with pytest.raises(RegistryError, match="MANIFEST_UNKNOWN") as caught:
        pull(f"{registry.host}/no/such:tag", cache, reporter)
    assert caught.value.exit_code == 5
    assert caught.value.hint


def test_nobody_listening_is_told(cache: BlobCache, reporter: Reporter) -> None:
    with pytest.raises(RegistryError, match=r"cannot connect to 127.0.0.1.*Connection refused"):
        pull(f"127.0.0.1:{free_port()}/app:1", cache, reporter)


def test_an_unknown_host_is_told(cache: BlobCache, reporter: Reporter) -> None:
    with pytest.raises(RegistryError, match=r"cannot find no-such-host.invalid"):
        pull("no-such-host.invalid/app:1", cache, reporter)


def test_a_blob_that_changed_in_the_registry_is_refused_and_not_kept(
    registry: Registry, cache: BlobCache, reporter: Reporter, image: BuiltImage
) -> None:
    found = pull(push(registry, image, "app:1", reporter), cache, reporter)
    descriptor = found.layers[0]
    path = registry.blob_path(descriptor.digest)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="has digest"), fetch_blob(found, descriptor, cache) as stream:
        stream.read()
    assert not cache.has(descriptor.digest)
    assert list(cache.temporary_folder.iterdir()) == []
    found.source.close()


def test_a_truncated_blob_is_refused(
    registry: Registry, cache: BlobCache, reporter: Reporter, image: BuiltImage
) -> None:
    found = pull(push(registry, image, "app:1", reporter), cache, reporter)
    descriptor = found.layers[0]
    path = registry.blob_path(descriptor.digest)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(IntegrityError, match="ends after"), fetch_blob(found, descriptor, cache) as stream:
        stream.read()
    found.source.close()


def test_a_manifest_that_is_not_what_its_digest_says_is_refused(
    registry: Registry, cache: BlobCache, reporter: Reporter, image: BuiltImage
) -> None:
    push(registry, image, "app:1", reporter)
    other = hashlib.sha256(b"other").hexdigest()
    with (
        Front(registry.port, lambda handler: other in handler.path and _swap(handler, other, image)) as front,
        pytest.raises(IntegrityError, match="another digest"),
    ):
        pull(f"{front.host}/app@sha256:{other}", cache, reporter)


def _swap(handler: object, other: str, image: BuiltImage) -> bool:
    handler.path = handler.path.replace(other, image.descriptor.digest.removeprefix("sha256:"))  # type: ignore[attr-defined]
    return False


def test_a_layer_that_lies_about_itself_is_not_pushed(
    registry: Registry, reporter: Reporter, image: BuiltImage
) -> None:
    honest = image.layers[0]
    with Front(registry.port) as front:
        lying = to_write(build_image([honest]), f"{front.host}/app:1")
        forged = replace(lying.layers[0], open=lambda: io.BytesIO(honest.blob[:-1] + b"!"))
        with pytest.raises(IntegrityError, match="has digest"):
            RegistryTarget().deliver(replace(lying, layers=(forged,)), reporter)
        assert front.count("DELETE /v2/app/blobs/uploads/") == 1
        assert front.count("PUT /v2/app/manifests/") == 0
    assert not registry.has_stored(honest.descriptor.digest)
