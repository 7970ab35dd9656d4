"""What is accepted of a document is what Go's encoding/json reads, and rune's own reader in C with it."""

from __future__ import annotations

import json
from collections import Counter
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.errors import InvalidImageError
from enclavize.oci.docker_manifest import ENTRY_SHAPE
from enclavize.oci.document import parse_document, parse_documents
from enclavize.oci.image_config import CONFIG_SHAPE, parse_config
from enclavize.oci.manifest import MANIFEST_SHAPE, Index, parse_manifest
from enclavize.rune import config_shape
from support.go import go_programs
from support.json_programs import asked, json_probe
from support.odd_json import KINDS, OddJson
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.document import Document

pytestmark = pytest.mark.integration

BATCH = 5000
REFUSED = ("INVALID", "ERR")


def descriptor(found: Descriptor | None) -> dict[str, Any] | None:
    """Return a descriptor as main.go describes it."""
    if found is None:
        return None
    platform = found.platform
    return {
        "mediaType": found.media_type, "digest": found.digest, "size": found.size,
        "annotations": dict(found.annotations), "artifactType": found.artifact_type,
        "platform": platform
        and {"architecture": platform.architecture, "os": platform.os, "variant": platform.variant},
    }  # fmt: skip


AS_IT_STANDS = ("'created'", "'StopSignal'", "docker does not run")
"""Oddities of members that are compared as they stand there: what is wrong with them is no matter of JSON."""
AS_GO_DOES = ("for an empty one", "for empty")


def require_whole(oddities: Sequence[str]) -> None:
    """Refuse what was left out of a document, and what docker alone takes otherwise than it stands there."""
    for oddity in oddities:
        if not any(part in oddity for part in AS_IT_STANDS + AS_GO_DOES):
            raise InvalidImageError(oddity)


def config(data: bytes) -> Any:
    """Read an image configuration."""
    found = parse_config(data, "it")
    require_whole(found.oddities)
    raw = parse_document(data, "it", CONFIG_SHAPE)
    execution = (raw.document("config") or raw).members
    health = only(execution.get("Healthcheck") or {}, {"Test": [], "Retries": 0})
    return {
        "created": raw.text("created"), "architecture": found.architecture, "os": found.os,
        "config": {
            "User": found.user, "ExposedPorts": {key: {} for key in found.exposed_ports}, "Env": found.env,
            "Entrypoint": found.entrypoint, "Cmd": found.cmd, "Volumes": {key: {} for key in found.volumes},
            "WorkingDir": found.working_dir, "Labels": found.labels,
            "StopSignal": execution.get("StopSignal"), "Healthcheck": health,
        },
        "rootfs": {"type": (found.raw.get("rootfs") or {}).get("type"), "diff_ids": found.diff_ids},
    }  # fmt: skip


def manifest(data: bytes) -> Any:
    """Read a manifest."""
    found = parse_manifest(data, "it")
    require_whole(
        [entry.reason for entry in found.unreadable] if isinstance(found, Index) else found.oddities
    )
    if isinstance(found, Index):
        return {"manifests": list(map(descriptor, found.manifests))}
    return {
        "config": descriptor(found.config), "layers": list(map(descriptor, found.layers)),
        "subject": descriptor(found.subject), "annotations": found.annotations,
        "artifactType": found.artifact_type,
    }  # fmt: skip


def entries(data: bytes) -> Any:
    """Read manifest.json."""
    return [
        {"Config": item.text("Config"), "RepoTags": item.texts("RepoTags"), "Layers": item.texts("Layers")}
        for item in parse_documents(data, "it", ENTRY_SHAPE)
    ]


def spec(data: bytes) -> Any:
    """Read config.json."""
    found = parse_document(data, "it", config_shape.CONFIG_SHAPE)
    process, root = found.document("process"), found.document("root")
    return {
        "ociVersion": found.text("ociVersion"),
        "process": process
        and {"args": process.texts("args"), "env": process.texts("env"), "cwd": process.text("cwd")},
        "root": root and {"path": root.text("path"), "readonly": root.members.get("readonly")},
        "mounts": [
            {name: item.text(name) for name in ("destination", "type", "source")}
            | {"options": item.texts("options")}
            for item in found.documents("mounts")
        ],
        "annotations": found.text_map("annotations"),
    }


READERS = {"c": config, "m": manifest, "e": entries, "s": spec}
SHAPES = {"c": CONFIG_SHAPE, "m": MANIFEST_SHAPE, "e": ENTRY_SHAPE, "s": config_shape.CONFIG_SHAPE}


def plain(value: Any) -> Any:
    """Return a JSON value without members that are nothing to Go: null, or of its zero value."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        members = {key: plain(item) for key, item in value.items()}
        return {key: item for key, item in members.items() if item not in (None, "", False, 0, [], {})}
    return value


def only(members: Mapping[str, Any], wanted: Any) -> Any:
    """Return those members that are wanted too; all, if that is no object."""
    return {key: members.get(key) for key in wanted} if isinstance(wanted, dict) else members


def exact(kind: str, data: bytes) -> bool:
    """Tell whether a reader that knows no folding finds the same members, or we know that it does not."""
    shape = SHAPES[kind]
    if kind == "e":
        documents: Sequence[Document] = parse_documents(data, "it", shape)
        return any(item.misspelled for item in documents) or [
            item.members for item in documents
        ] == json.loads(data)
    document = parse_document(data, "it", shape)
    return bool(document.misspelled) or document.members == json.loads(data)


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Return the Go programs by their versions."""
    return dict(go_programs("go_json", tmp_path_factory.mktemp("go")))


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return rune's reader as a program of its own."""
    return json_probe(tmp_path_factory.mktemp("rune"))


def seed() -> int:
    """Return a seed, which a failure shows."""
    return SystemRandom().randrange(1 << 32)


def compared(kind: str, data: bytes, theirs: Mapping[str, str]) -> str:
    """Compare one document; fails where it is accepted, and Go reads it otherwise."""
    try:
        found = READERS[kind](data)
    except InvalidImageError:
        return "refused by all" if set(theirs.values()) <= set(REFUSED) else "refused by us"
    assert exact(kind, data), data
    for version, line in theirs.items():
        assert line != "INVALID", (version, data)
        if line != "ERR":  # of the wrong type where we do not look: engines refuse it
            assert plain(found) == plain(only(json.loads(line), found)), (version, data)
    return "read alike"


def test_documents_are_read_as_go_reads_them(readers: Mapping[str, Path]) -> None:
    outcomes: Counter[tuple[str, str]] = Counter()
    for _ in range(scaled(40, least=2)):
        start = seed()
        odd = OddJson(Random(start))
        documents = [(kind, odd.document(kind)) for kind in KINDS for _ in range(BATCH // len(KINDS))]
        lines = {version: asked(program, documents) for version, program in readers.items()}
        for number, (kind, data) in enumerate(documents):
            theirs = {version: found[number] for version, found in lines.items()}
            try:
                outcomes[kind, compared(kind, data, theirs)] += 1
            except AssertionError as error:
                error.add_note(f"seed {start}, document {number}")
                raise
    for kind in KINDS:
        assert outcomes[kind, "read alike"] > outcomes.total() // 20, outcomes
        assert outcomes[kind, "refused by us"] > 0, outcomes


def test_the_front_end_of_rune_reads_as_go_does(readers: Mapping[str, Path], probe: Path) -> None:
    outcomes: Counter[str] = Counter()
    for _ in range(scaled(40, least=2)):
        start = seed()
        odd = OddJson(Random(start))
        documents = [("s", odd.document("s")) for _ in range(BATCH)]
        ours = asked(probe, documents)
        for version, program in readers.items():
            for number, line in enumerate(asked(program, documents)):
                if line in REFUSED:
                    continue
                where = f"seed {start}, document {number}, {version}: {documents[number][1]!r}"
                outcomes.update(_compared_words(json.loads(line), ours[number].split(" "), where))
    assert min(outcomes.values()) > 100, outcomes


def _compared_words(theirs: Mapping[str, Any], words: Sequence[str], where: str) -> Sequence[str]:
    path = (theirs["root"] or {}).get("path", "")
    key = (theirs["annotations"] or {}).get("k", "")
    for text, word in ((path, words[0]), (key, words[1])):
        assert word in ("invalid", f"={text.encode().hex()}") or (word == "absent" and text == ""), where
    if not words[2].startswith("invalid"):
        *labels, end = words[2].split(";")
        assert end == "absent", where
        expected = [f"={label.encode().hex()}" for label in theirs["labels"] or []]
        assert all(found in ("invalid", label) for found, label in zip(labels, expected, strict=True)), where
    return [word if word in ("invalid", "absent") else "found" for word in words[:2]]
