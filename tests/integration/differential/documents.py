"""Odd JSON: configurations and manifests that programs might read in two ways."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import zstandard

from enclavize.oci import media_types
from enclavize.oci.digest import sha256_digest
from integration.differential.samples import EXECUTION, FILES, Kind
from support.images import Layer, build_image, build_layer, file, tar_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.differential.samples import Laboratory, Layout
    from support.images import BuiltImage

EVIL = file("bin/hello", "another program\n", 0o755)


def image() -> BuiltImage:
    """Return the image that all of these are made from, with compact documents."""
    made = build_image([build_layer(FILES, "gzip")], config=EXECUTION)
    return with_config(made, json.dumps(json.loads(made.config_bytes)).encode())


def with_config(made: BuiltImage, data: bytes) -> BuiltImage:
    """Let an image have this configuration, and a compact manifest that names it."""
    manifest = json.loads(made.manifest_bytes)
    manifest["config"] |= {"digest": sha256_digest(data), "size": len(data)}
    return replace(made, config_bytes=data, manifest_bytes=json.dumps(manifest).encode())


def replaced(data: bytes, old: str | bytes, new: str | bytes) -> bytes:
    """Replace what is there exactly once."""
    before, after = (text.encode() if isinstance(text, str) else text for text in (old, new))
    assert data.count(before) == 1, (before, data)
    return data.replace(before, after)


def config(name: str, old: str | bytes, new: str | bytes) -> Kind:
    """Return a kind with a configuration in which ``old`` is ``new``."""

    def make(laboratory: Laboratory) -> Layout:
        made = image()
        return laboratory.layout(with_config(made, replaced(made.config_bytes, old, new)))

    return Kind(name=f"configuration: {name}", writer="Python", make=make)


def manifest(name: str, old: str | bytes, new: str | bytes) -> Kind:
    """Return a kind with a manifest in which ``old`` is ``new``."""

    def make(laboratory: Laboratory) -> Layout:
        made = image()
        changed = replace(made, manifest_bytes=replaced(made.manifest_bytes, old, new))
        return laboratory.layout(changed, "layout", "registry")

    return Kind(name=f"manifest: {name}", writer="Python", make=make)


def built(name: str, make: Callable[[], BuiltImage]) -> Kind:
    """Return a kind with an image that is odd as a whole."""
    return Kind(
        name=f"manifest: {name}",
        writer="Python",
        make=lambda laboratory: laboratory.layout(make(), "layout", "registry"),
    )


_ENTRYPOINT = '"Entrypoint": ["/bin/hello"]'
_USER = '"User": "7:8"'
_WHO = '"who": "me"'

CONFIGURATIONS = [
    config("a member twice", _ENTRYPOINT, f'{_ENTRYPOINT}, "Entrypoint": ["/bin/evil"]'),
    config("a member again in lower case", _ENTRYPOINT, f'{_ENTRYPOINT}, "entrypoint": ["/bin/evil"]'),
    config("a member again with a long s", _USER, f'{_USER}, "U\u017fer": "0:0"'),
    config(
        "a member again with a Kelvin sign",
        _ENTRYPOINT,
        f'{_ENTRYPOINT}, "Healthchec\u212a": {{"Test": ["CMD", "/evil"]}}',
    ),
    config("a member in another case only", _ENTRYPOINT, '"entrypoint": ["/bin/hello"]'),
    config("a member spelled with escapes", '"Entrypoint"', r'"\u0045ntrypoint"'),
    config(
        "the whole execution part again in another case",
        '"rootfs":',
        '"Config": {"Cmd": ["/bin/evil"]}, "rootfs":',
    ),
    config("diff_ids again in another case", '"diff_ids":', '"DIFF_IDS": [], "diff_ids":'),
    config(
        "null members",
        '"Cmd": ["there"], "Env": ["GREETING=hello", "HOME=/root"]',
        '"Cmd": null, "Env": null, "Shell": null',
    ),
    config("no execution part", '"config": {', '"config": null, "_": {'),
    config("unknown members", _USER, f'{_USER}, "Nobody": {{"knows": [1, 2.5, null, true]}}'),
    config("labels that differ in case", _WHO, f'{_WHO}, "WHO": "you"'),
    config("a label twice", _WHO, f'{_WHO}, "who": "you"'),
    config("a lone surrogate in a label", _WHO, r'"who": "\ud800"'),
    config("invalid UTF-8 in a label", _WHO.encode(), b'"who": "\xff\xfe"'),
    config("a byte order mark", b'{"architecture"', b'\xef\xbb\xbf{"architecture"'),
    config(
        "a fraction that is a whole number",
        _USER,
        f'{_USER}, "Healthcheck": {{"Test": ["NONE"], "Interval": 1.0}}',
    ),
    config("NaN", _USER, f'{_USER}, "x": NaN'),
    config("a number out of all range", _USER, f'{_USER}, "x": 1e999'),
    config("deep nesting", _USER, f'{_USER}, "x": {"[" * 5000}{"]" * 5000}'),
    config("a command as one text", '"Cmd": ["there"]', '"Cmd": "there"'),
    config("a control character in a text", '"me"', '"m\te"'),
    config("a NUL in the environment", "GREETING=hello", r"GREETING=\u0000"),
    config(
        "odd items in the environment",
        '"GREETING=hello"',
        '"GREETING=hello", "GREETING=again", "NOTHING", "=x"',
    ),
    config(
        "empty layers in the history",
        '"history": [',
        '"history": [{"empty_layer": true}, {"created_by": "x", "empty_layer": true}, ',
    ),
    config("a digest in upper case", '"diff_ids": ["sha256:', '"diff_ids": ["SHA256:'),
    config("no architecture", '"architecture": "amd64", ', ""),
]


def _trailing(laboratory: Laboratory) -> Layout:
    made = image()
    return laboratory.layout(with_config(made, made.config_bytes + b'{"config": {"Cmd": ["/bin/evil"]}}'))


CONFIGURATIONS.append(
    Kind(name="configuration: a second document behind the first", writer="Python", make=_trailing)
)


def _layers(*layers: Layer, **more: Any) -> BuiltImage:
    return build_image(list(layers), config=EXECUTION, **more)


def _disguised(blob: bytes, media_type: str) -> Layer:
    return Layer(blob=blob, media_type=media_type, diff_id=sha256_digest(tar_of(FILES)))


def _wrong_media_type() -> BuiltImage:
    return _layers(build_layer(FILES), change_manifest={"mediaType": media_types.OCI_INDEX})


def _both() -> BuiltImage:
    return _layers(build_layer(FILES), change_manifest={"manifests": []})


def _data() -> BuiltImage:
    made = image()
    manifest = json.loads(made.manifest_bytes)
    manifest["config"]["data"] = "e30="
    return replace(made, manifest_bytes=json.dumps(manifest).encode())


def _artifact() -> BuiltImage:
    made = image()
    subject = {"mediaType": media_types.OCI_MANIFEST, "digest": sha256_digest(b"x"), "size": 1}
    manifest = json.loads(made.manifest_bytes) | {"artifactType": "application/x", "subject": subject}
    return replace(made, manifest_bytes=json.dumps(manifest).encode())


def _foreign() -> BuiltImage:
    made = build_layer(FILES, "gzip")
    return _layers(replace(made, media_type="application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"))


def _wrong_size() -> BuiltImage:
    made = image()
    manifest = json.loads(made.manifest_bytes)
    manifest["layers"][0]["size"] += 1
    return replace(made, manifest_bytes=json.dumps(manifest).encode())


def _mixed_types() -> BuiltImage:
    made = build_layer(FILES, "gzip", docker=True)
    return _layers(made)


_TAR = tar_of(FILES)
_LAYERS = '"layers": ['

MANIFESTS = [
    manifest("a member twice", '"schemaVersion": 2', '"schemaVersion": 2, "layers": []'),
    manifest("layers again in another case", _LAYERS, '"Layers": [], "layers": ['),
    manifest("layers in another case, behind", "}]}", '}], "LAYERS": []}'),
    manifest(
        "the digest of the configuration twice",
        '"config": {',
        '"config": {"Digest": "sha256:' + "0" * 64 + '", ',
    ),
    manifest("a version as a fraction", '"schemaVersion": 2', '"schemaVersion": 2.0'),
    manifest("annotations that are null", '"schemaVersion": 2', '"schemaVersion": 2, "annotations": null'),
    manifest("a byte order mark", b'{"schemaVersion"', b'\xef\xbb\xbf{"schemaVersion"'),
    built("both a manifest and an index", _both),
    built("the media type of an index", _wrong_media_type),
    built("no media type", lambda: _layers(build_layer(FILES), with_media_type=False)),
    built("Docker's types", lambda: build_image([FILES], config=EXECUTION, docker=True)),
    built("Docker's layers in an OCI manifest", _mixed_types),
    built("zstd layers", lambda: _layers(build_layer(FILES, "zstd"), build_layer([EVIL], "zstd"))),
    built("a layer that must not be distributed", _foreign),
    built("no layers", _layers),
    built(
        "the same layer twice", lambda: _layers(build_layer(FILES), build_layer([EVIL]), build_layer(FILES))
    ),
    built("an empty layer", lambda: _layers(build_layer(FILES), build_layer([]))),
    built(
        "gzip that is called plain", lambda: _layers(_disguised(gzip.compress(_TAR), media_types.OCI_LAYER))
    ),
    built("plain that is called gzip", lambda: _layers(_disguised(_TAR, media_types.OCI_LAYER_GZIP))),
    built(
        "zstd that is called gzip",
        lambda: _layers(_disguised(zstandard.compress(_TAR), media_types.OCI_LAYER_GZIP)),
    ),
    built("a size that is wrong", _wrong_size),
    manifest("a configuration of another type", ".image.config.", ".other.config."),
    built("other bytes inside a descriptor", _data),
    built("an artifact's members", _artifact),
]

KINDS = [*CONFIGURATIONS, *MANIFESTS]
