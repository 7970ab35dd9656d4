"""No trust in an image that engines may read otherwise: spellings, twins, two archives in one, odd indexes.

Each image here is consistent and signed, to a reader who takes names exactly and the first of two images.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.oci.digest import sha256_digest
from support.images import build_image, file, tar_of, write_layout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from support.command import Built
    from support.images import BuiltImage

pytestmark = pytest.mark.integration

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
REF_NAME = "org.opencontainers.image.ref.name"
EVIL_RUNELET = file(".enclave/bin/runelet", "#!/bin/sh\necho evil\n", 0o755)


class Documents:
    """A copy of a TEE image whose documents are changed as text, with all digests consistent."""

    def __init__(self, layout: Path, root: Path) -> None:
        shutil.copytree(layout, root)
        self.root = root
        self.index = json.loads((root / "index.json").read_text())
        self.entry = self.index["manifests"][0]
        self.manifest = json.loads(self.blob(self.entry["digest"]))
        self.config = json.loads(self.blob(self.manifest["config"]["digest"]))

    def blob(self, digest: str) -> bytes:
        """Return a blob."""
        return (self.root / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()

    def put(self, data: bytes) -> dict[str, Any]:
        """Add a blob."""
        digest = sha256_digest(data)
        (self.root / "blobs" / "sha256" / digest.removeprefix("sha256:")).write_bytes(data)
        return {"digest": digest, "size": len(data)}

    def save(self, config: str = "", manifest: str = "", index: str = "") -> str:
        """Write the documents, or others in their place; return the image's name."""
        self.manifest["config"] |= self.put((config or json.dumps(self.config)).encode())
        text = manifest or json.dumps(self.manifest)
        if manifest:
            text = text.replace("CONFIG", json.dumps(self.manifest["config"]))
        self.entry |= self.put(text.encode())
        (self.root / "index.json").write_text(index or json.dumps(self.index))
        return f"oci:{self.root}"

    def name_index(self, *entries: dict[str, Any]) -> str:
        """Let the layout's one entry be an index of these; return the image's name."""
        data = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
        self.index["manifests"] = [{"mediaType": INDEX, **self.put(data)}]
        (self.root / "index.json").write_text(json.dumps(self.index))
        return f"oci:{self.root}"


@pytest.fixture
def documents(built: Built, tmp_path: Path) -> Documents:
    """A copy of the TEE image."""
    return Documents(built.layout, tmp_path / "copy")


def in_config(name: str, value: object) -> Callable[[Documents], str]:
    """Add a member to the execution part of the configuration, as text."""

    def forge(documents: Documents) -> str:
        inner = json.dumps(documents.config["config"])
        added = f"{inner[:-1]}, {json.dumps(name)}: {json.dumps(value)}}}"
        return documents.save(json.dumps(documents.config).replace(inner, added))

    return forge


def respelled(old: str, new: str) -> Callable[[Documents], str]:
    """Spell a member of the configuration otherwise."""

    def forge(documents: Documents) -> str:
        text = json.dumps(documents.config)
        assert f'"{old}":' in text
        return documents.save(text.replace(f'"{old}":', f'"{new}":'))

    return forge


def more_layers(documents: Documents) -> str:
    """Give Go one layer more, which brings another runelet."""
    evil = documents.put(tar_of([EVIL_RUNELET]))
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar", **evil}
    rootfs = json.dumps(documents.config["rootfs"])
    ids = json.dumps([*documents.config["rootfs"]["diff_ids"], evil["digest"]])
    config = json.dumps(documents.config).replace(rootfs, f'{rootfs[:-1]}, "Diff_Ids": {ids}}}')
    whole = {**documents.manifest, "config": "CONFIG"}
    text = json.dumps(whole).replace('"CONFIG"', "CONFIG")
    return documents.save(config, f'{text[:-1]}, "Layers": {json.dumps([*whole["layers"], layer])}}}')


def twice_in_the_index(documents: Documents) -> str:
    """Give Go another list of manifests."""
    evil = {"mediaType": MANIFEST, **documents.put(b"{}")}
    text = json.dumps(documents.index)
    return documents.save(index=f'{text[:-1]}, "Manifests": {json.dumps([evil])}}}')


@pytest.mark.parametrize(
    "forge",
    [
        in_config("entrypoint", ["/bin/busybox", "echo", "outside"]),
        in_config("Entrypoint", ["/bin/busybox", "echo", "outside"]),
        in_config("ENTRYPOINT", None),
        in_config("env", ["ENCLAVIZE_SIMULATE=1"]),
        in_config("u\u017fer", "root"),
        in_config("healthchec\u212a", {"Test": ["CMD", "/bin/busybox"]}),
        in_config("wor\u212aingdir", "/tmp"),
        respelled("Entrypoint", "entrypoint"),
        respelled("Env", "ENV"),
        respelled("diff_ids", "Diff_IDs"),
        respelled("rootfs", "RootFS"),
        respelled("config", "Config"),
        more_layers,
        twice_in_the_index,
    ],
)
def test_a_document_that_go_reads_otherwise_is_refused(
    built: Built, documents: Documents, forge: Callable[[Documents], str]
) -> None:
    refused_everywhere(built, forge(documents), "in two ways", "not the same image to all readers")


def refused_everywhere(built: Built, name: str, *reasons: str) -> None:
    """Check that no command that lets people trust takes the image."""
    for command, code in (("verify", 1), ("inspect", 1), ("run", 125)):
        options = () if command == "inspect" else ("--signer", built.public_key)
        message = built.command.run(command, *options, name, code=code).stderr
        assert any(reason in message for reason in reasons), message
        assert "Traceback" not in message


def test_the_same_changes_without_a_second_reading_are_harmless(built: Built, documents: Documents) -> None:
    built.command.run("verify", documents.save(), "--signer", built.public_key)


def evil_manifest(documents: Documents) -> dict[str, Any]:
    """Add an ordinary image; return its entry."""
    evil = build_image([[file("bin/sh", "evil", 0o755)]])
    for data in evil.blobs.values():
        documents.put(data)
    return evil.descriptor.to_json()


Platform = dict[str, str] | None
AMD64 = {"os": "linux", "architecture": "amd64"}
V3 = {**AMD64, "variant": "v3"}
X86_64 = {"os": "linux", "architecture": "x86_64"}


@pytest.mark.parametrize(
    ("genuine", "evil", "first"),
    [
        (V3, AMD64, "genuine"),
        (AMD64, V3, "genuine"),
        (AMD64, X86_64, "evil"),
        (X86_64, AMD64, "genuine"),
        (AMD64, AMD64, "genuine"),
        (AMD64, None, "evil"),
        (None, AMD64, "genuine"),
        (None, {"os": "linux", "architecture": "arm64"}, "genuine"),
        (AMD64, {"os": "linux", "architecture": "386"}, "genuine"),
        (AMD64, {"os": "", "architecture": "AMD64"}, "evil"),
        ({"os": "linux", "architecture": "amd64", "variant": "v1"}, AMD64, "genuine"),
    ],
)
def test_an_index_of_which_engines_take_different_images_is_refused(
    built: Built, documents: Documents, genuine: Platform, evil: Platform, first: str
) -> None:
    entries = [
        {"mediaType": MANIFEST, "digest": documents.entry["digest"], "size": documents.entry["size"]}
        | ({"platform": genuine} if genuine else {}),
        evil_manifest(documents) | ({"platform": evil} if evil else {}),
    ]
    name = documents.name_index(*(entries if first == "genuine" else entries[::-1]))
    for command in ("verify", "run"):
        code = 125 if command == "run" else 1
        message = built.command.run(command, "--signer", built.public_key, name, code=code).stderr
        # Where the other image is the one that docker takes, it is no TEE image.
        assert "not the same image to all readers" in message or "is not a TEE image" in message


@pytest.mark.parametrize(
    "others",
    [
        [],
        [
            {"os": "linux", "architecture": "arm64", "variant": "v8"},
            {"os": "windows", "architecture": "amd64"},
        ],
        [{"os": "unknown", "architecture": "unknown"}],
    ],
)
def test_an_index_with_one_image_for_this_machine_is_accepted(
    built: Built, documents: Documents, others: Sequence[dict[str, str]]
) -> None:
    genuine = {**{key: documents.entry[key] for key in ("mediaType", "digest", "size")}, "platform": X86_64}
    name = documents.name_index(
        *({**evil_manifest(documents), "platform": other} for other in others), genuine
    )
    built.command.run("verify", name, "--signer", built.public_key)


def test_an_index_inside_another_is_refused(built: Built, documents: Documents) -> None:
    genuine = {key: documents.entry[key] for key in ("mediaType", "digest", "size")}
    inner = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [genuine]}).encode()
    name = documents.name_index({"mediaType": INDEX, **documents.put(inner), "platform": AMD64})
    refused_everywhere(built, name, "inside another index")


def with_index(layout: Path, index: str) -> None:
    """Let the one entry of a layout be this index."""
    digest = sha256_digest(index.encode())
    (layout / "blobs/sha256" / digest.removeprefix("sha256:")).write_text(index)
    entry = {"mediaType": INDEX, "digest": digest, "size": len(index)}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


def test_an_ordinary_image_of_such_an_index_is_still_converted(
    built: Built, image: BuiltImage, tmp_path: Path
) -> None:
    """As docker does, the best entry is taken; what is written has one reading."""
    odd = {"entrypoint": ["/bin/busybox", "true"], "onbuild": ["RUN x"], "SHELL": ["/bin/sh"], "ENV": ["A=1"]}
    other = build_image(image.layers, config={"Labels": {"a": "1", "A": "2"}, **odd})
    layout = write_layout(tmp_path / "layout", {"1": other, "2": image})
    entries = [
        {**image.descriptor.to_json(), "platform": V3},
        {**other.descriptor.to_json(), "platform": X86_64},
    ]
    with_index(layout, json.dumps({"schemaVersion": 2, "Manifests": entries}))
    output = f"type=oci,tar=false,dest={tmp_path / 'tee'}"
    built.command.run("build", f"oci:{layout}", "--key", built.key, "-o", output)
    built.command.run("verify", f"oci:{tmp_path / 'tee'}", "--signer", built.public_key)
    written = Documents(tmp_path / "tee", tmp_path / "copy").config
    assert written["config"].keys() >= {"Entrypoint", "Env", "Labels"}
    assert not {name.lower() for name in written["config"]} & {"onbuild", "shell"}
    assert not written["config"].keys() & odd.keys()
    assert written["config"]["Labels"].items() >= {"a": "1", "A": "2"}.items()


@pytest.mark.parametrize("scheme", ["oci-archive", "docker-archive"])
@pytest.mark.parametrize("names", [("genuine", "genuine"), ("genuine", "evil"), ("evil", "genuine")])
def test_an_archive_that_docker_and_containerd_take_for_two_images_is_refused(
    built: Built, documents: Documents, tmp_path: Path, scheme: str, names: tuple[str, str]
) -> None:
    """``index.json`` is for containerd and podman, ``manifest.json`` for docker."""
    evil_manifest(documents)
    entries = {"genuine": documents.entry, "evil": evil_manifest(documents)}
    index = {"schemaVersion": 2, "manifests": [{**entries[names[0]], "annotations": {REF_NAME: "1"}}]}
    manifest = json.loads(documents.blob(entries[names[1]]["digest"]))
    (documents.root / "index.json").write_text(json.dumps(index))
    (documents.root / "manifest.json").write_text(
        json.dumps(
            [
                {
                    "Config": path_of(manifest["config"]),
                    "RepoTags": ["tee:1"],
                    "Layers": [path_of(layer) for layer in manifest["layers"]],
                }
            ]
        )
    )
    archive = tmp_path / "image.tar"
    found = sorted(path for path in documents.root.rglob("*") if path.is_file())
    archive.write_bytes(
        tar_of(file(str(path.relative_to(documents.root)), path.read_bytes()) for path in found)
    )
    if names[0] == names[1]:
        built.command.run("verify", f"{scheme}:{archive}", "--signer", built.public_key)
    else:
        refused_everywhere(built, f"{scheme}:{archive}", "not the same image to all readers")


def path_of(descriptor: dict[str, str]) -> str:
    """Return where a blob of a layout is."""
    return f"blobs/{descriptor['digest'].replace(':', '/')}"


def test_an_image_for_newer_processors_is_taken_when_it_is_asked_for(
    built: Built, image: BuiltImage, tmp_path: Path
) -> None:
    layout = write_layout(tmp_path / "layout", {"1": image})
    entry = {**image.descriptor.to_json(), "platform": V3}
    with_index(layout, json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    plain = built.command.run("check", f"oci:{layout}", "--libos", "builtin", code=1)
    assert "it has: linux/amd64/v3" in plain.stderr
    built.command.run("check", f"oci:{layout}", "--libos", "builtin", "--platform", "linux/amd64/v4")
    output = f"type=oci,tar=false,dest={tmp_path / 'tee'}"
    built.command.run("build", f"oci:{layout}", "--platform", "linux/x86_64/v3", "-o", output)
