"""Manifests, indexes, configurations and descriptors of strangers."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclavize.errors import EnclavizeError, InvalidImageError
from enclavize.oci import media_types
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import hex_of, parse_digest, sha256_digest
from enclavize.oci.document import parse_document
from enclavize.oci.image_config import parse_config
from enclavize.oci.limits import MAX_INDEX_ENTRIES, MAX_LAYERS
from enclavize.oci.manifest import Index, Manifest, parse_manifest
from enclavize.oci.media_types import layer_compression
from enclavize.oci.platform import LINUX_AMD64, Platform
from support.images import build_image, build_index, file

IMAGE = build_image([[file("a")]])
LAYER = IMAGE.layers[0].descriptor.to_json()
CONFIG = json.loads(IMAGE.manifest_bytes)["config"]


def manifest(**changes: Any) -> bytes:
    """Return a manifest with members changed, or removed where the value is None."""
    document = {**json.loads(IMAGE.manifest_bytes), **changes}
    return json.dumps({key: value for key, value in document.items() if value is not None}).encode()


@pytest.mark.parametrize("docker", [False, True])
@pytest.mark.parametrize("with_media_type", [False, True])
def test_a_manifest_is_known_by_its_members(docker: bool, with_media_type: bool) -> None:
    image = build_image([[file("a")]], docker=docker, with_media_type=with_media_type)
    parsed = parse_manifest(image.manifest_bytes, "m")
    assert isinstance(parsed, Manifest)
    assert parsed.media_type == (image.media_type if with_media_type else media_types.OCI_MANIFEST)
    assert parsed.layers == tuple(layer.descriptor for layer in image.layers)


def test_an_index_is_known_by_its_members() -> None:
    index = build_index([IMAGE], with_media_type=False)
    parsed = parse_manifest(index.index_bytes, "m")
    assert isinstance(parsed, Index)
    assert parsed.manifests[0].platform == LINUX_AMD64


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"schemaVersion": 1' + b"0" * 5000 + b"}",
        b'{"schemaVersion": 1, "fsLayers": [], "history": []}',
        b'{"schemaVersion": 2, "fsLayers": [], "layers": [], "config": {}}',
        manifest(schemaVersion="2"),
        manifest(manifests=[]),
        manifest(manifests=[], mediaType=None),
        b'{"schemaVersion": 2}',
        manifest(mediaType=media_types.OCI_INDEX),
        manifest(mediaType="text/plain"),
        manifest(mediaType=7),
        manifest(config=None),
        manifest(config=[]),
        manifest(config={**CONFIG, "size": 9 << 20}),
        manifest(config={**CONFIG, "size": -1}),
        manifest(config={**CONFIG, "size": 1.5}),
        manifest(config={**CONFIG, "size": True}),
        manifest(config={**CONFIG, "digest": "sha256:short"}),
        manifest(config={**CONFIG, "digest": "../../etc/passwd"}),
        manifest(layers={}),
        manifest(layers=[LAYER] * (MAX_LAYERS + 1)),
        manifest(layers=[{**LAYER, "size": 1 << 60}]),
        manifest(layers=[{**LAYER, "mediaType": "\ud800"}]),
        manifest(layers=["layer"]),
        manifest(annotations={"a": "x" * (5 << 20)}),
        json.dumps({"schemaVersion": 2, "manifests": [LAYER] * (MAX_INDEX_ENTRIES + 1)}).encode(),
    ],
)
def test_a_manifest_that_breaks_its_specification_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidImageError):
        parse_manifest(data, "the manifest")


@pytest.mark.parametrize(
    "data",
    [
        manifest(schemaVersion=None),
        manifest(annotations=[]),
        manifest(annotations={"a": 1}),
        manifest(annotations={"a": [None]}),
        manifest(layers=[{**LAYER, "annotations": "a"}]),
        manifest(config={**CONFIG, "annotations": {"a": {}}}),
        manifest(artifactType=7),
        manifest(subject="x"),
        manifest(subject={**CONFIG, "digest": "sha256:short"}),
    ],
)
def test_what_nobody_needs_of_a_manifest_is_left_out_and_told(data: bytes) -> None:
    parsed = parse_manifest(data, "the manifest")
    assert isinstance(parsed, Manifest)
    assert len(parsed.oddities) == 1
    assert not parsed.annotations
    assert not any(layer.annotations for layer in parsed.layers)


GOOD = {**LAYER, "mediaType": media_types.OCI_MANIFEST, "platform": {"os": "linux", "architecture": "amd64"}}
ARM = {**GOOD, "platform": {"os": "linux", "architecture": "arm64"}}


@pytest.mark.parametrize(
    ("strange", "platform"),
    [
        (None, None),
        ("text", None),
        ({}, None),
        ({**ARM, "digest": "blake3:" + "a" * 64}, "linux/arm64"),
        ({**ARM, "digest": None}, "linux/arm64"),
        ({**ARM, "size": "7"}, "linux/arm64"),
        ({**ARM, "size": 1.5}, "linux/arm64"),
        ({**ARM, "mediaType": 7}, "linux/arm64"),
        ({**ARM, "artifactType": {}}, "linux/arm64"),
        ({**ARM, "platform": "linux/arm64"}, None),
    ],
)
def test_an_entry_of_a_strange_kind_does_no_harm_to_the_others(strange: object, platform: str | None) -> None:
    data = json.dumps({"schemaVersion": 2, "manifests": [strange, GOOD]}).encode()
    parsed = parse_manifest(data, "the index")
    assert isinstance(parsed, Index)
    assert parsed.manifests == (Descriptor.from_json(GOOD),)
    (unreadable,) = parsed.unreadable
    assert str(unreadable.platform) == str(platform)


@pytest.mark.parametrize("absent", [None, 0])
def test_an_entry_need_not_state_its_size(absent: object) -> None:
    data = json.dumps({"schemaVersion": 2, "manifests": [{**GOOD, "size": absent}]}).encode()
    parsed = parse_manifest(data, "the index")
    assert isinstance(parsed, Index)
    assert [entry.size for entry in parsed.manifests] == [0]


@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["schemaVersion", "config", "layers", "manifests", "digest", "size", "mediaType"]),
        inner, max_size=4),
    max_leaves=20,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_no_manifest_and_no_configuration_gives_anything_but_our_errors(data: bytes) -> None:
    for parse in (parse_manifest, parse_config):
        with contextlib.suppress(EnclavizeError):
            parse(data, "x")


def test_an_absent_configuration_is_empty_as_under_docker() -> None:
    config = parse_config(b'{"config": null, "history": null}', "c")
    assert (config.entrypoint, config.cmd, config.env, config.user) == ((), (), (), "")
    assert config.healthcheck is None
    assert config.labels == {}


def test_a_configuration_is_read_whole() -> None:
    image = build_image(
        [[file("a")]],
        config={
            "Entrypoint": ["/e"], "Cmd": ["c", ""], "Env": ["A=1", "B="], "WorkingDir": "/w", "User": "1:2",
            "StopSignal": "SIGINT", "Healthcheck": {"Test": ["NONE"]}, "Labels": {"l": "v"},
            "Volumes": {"/v2": {}, "/v1": {}}, "ExposedPorts": {"80/tcp": {}}, "Unknown": 1,
        },
        change_config={"created": "2024-01-01T00:00:00Z"},
    )  # fmt: skip
    config = parse_config(image.config_bytes, "c")
    assert config.entrypoint == ("/e",)
    assert config.cmd == ("c", "")
    assert config.env == ("A=1", "B=")
    assert (config.working_dir, config.user, config.stop_signal) == ("/w", "1:2", "SIGINT")
    assert config.healthcheck == {"Test": ["NONE"]}
    assert config.labels == {"l": "v"}
    assert config.volumes == ("/v1", "/v2")
    assert config.exposed_ports == ("80/tcp",)
    assert config.created == "2024-01-01T00:00:00Z"
    assert (config.os, config.architecture) == ("linux", "amd64")
    assert config.diff_ids == (image.layers[0].diff_id,)
    assert config.history[0]["created_by"] == "layer 0"
    assert config.raw["config"]["Unknown"] == 1


def test_a_descriptor_survives_the_way_to_json_and_back() -> None:
    descriptor = Descriptor(
        media_type="a/b",
        digest=sha256_digest(b""),
        size=0,
        annotations={"k": "v"},
        platform=Platform(os="linux", architecture="arm64", variant="v8"),
        artifact_type="c/d",
    )
    assert Descriptor.from_json(descriptor.to_json()) == descriptor
    assert len({descriptor, descriptor}) == 1


@pytest.mark.parametrize(
    ("media_type", "compression"),
    [
        (media_types.OCI_LAYER, "none"),
        (media_types.OCI_LAYER_GZIP, "gzip"),
        (media_types.OCI_LAYER_ZSTD, "zstd"),
        (media_types.DOCKER_LAYER_GZIP, "gzip"),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "gzip"),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", "none"),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "gzip"),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", "zstd"),
    ],
)
def test_the_media_type_tells_the_compression(media_type: str, compression: str) -> None:
    assert layer_compression(media_type) == compression


@pytest.mark.parametrize(
    ("media_type", "message"),
    [
        ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "encrypted"),
        ("application/octet-stream", "unknown type"),
    ],
)
def test_layers_that_cannot_be_read_are_refused(media_type: str, message: str) -> None:
    with pytest.raises(InvalidImageError, match=message):
        layer_compression(media_type)


def test_digests_are_checked() -> None:
    digest = parse_digest("sha256:" + "a" * 64)
    assert hex_of(digest) == "a" * 64
    for text in ("", "sha256", "sha256:", "sha256:" + "A" * 64, "sha256:" + "a" * 63, "md5:" + "a" * 32):
        with pytest.raises(InvalidImageError):
            parse_digest(text)


def test_numbers_are_bounded_before_they_are_used() -> None:
    document = parse_document(b'{"a": 11, "b": "1"}', "d")
    assert document.number("a", maximum=11) == 11
    with pytest.raises(InvalidImageError, match="whole number from 0 to 10"):
        document.number("a", maximum=10)
    with pytest.raises(InvalidImageError):
        document.number("b", maximum=10)
