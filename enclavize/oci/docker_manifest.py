"""``manifest.json`` of docker's archives: for each image its configuration, layers and tags, by path.

Source: moby, daemon/internal/image/tarexport/tarexport.go, ``manifestItem``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.oci.descriptor import DESCRIPTOR_SHAPE
from enclavize.oci.document import parse_documents
from enclavize.oci.image import spelling
from enclavize.oci.layout import read_small
from enclavize.oci.limits import MAX_MANIFEST_SIZE
from enclavize.oci.reference import parse_reference
from enclavize.oci.shape import Shape

if TYPE_CHECKING:
    from enclavize.oci.layout import Files

DOCKER_MANIFEST_FILE = "manifest.json"

REPOSITORIES_FILE = "repositories"
"""What docker before 1.10 reads, and before 29 where there is no manifest.json."""

ENTRY_SHAPE = Shape(names="Config RepoTags Layers Parent", maps={"LayerSources": DESCRIPTOR_SHAPE})


@dataclass(frozen=True, kw_only=True)
class DockerEntry:
    """One image. ``tags`` are as they stand there; ``ambiguities`` as in ``Image``."""

    config: str
    layers: tuple[str, ...]
    tags: tuple[str, ...]
    ambiguities: tuple[str, ...]

    @cached_property
    def names(self) -> frozenset[str]:
        """The tags in their long form, which docker gives them all."""
        return frozenset(map(long_name, self.tags))

    @cached_property
    def name_ends(self) -> frozenset[str]:
        """What stands behind the last colon of each name, the tag, and behind the one before."""
        parts = [name.rsplit(":", 2) for name in self.names if ":" in name]
        return frozenset(
            [part[-1] for part in parts] + [":".join(part[-2:]) for part in parts if len(part) > 2]
        )


def read_docker_manifest(files: Files) -> tuple[DockerEntry, ...]:
    """Read manifest.json. Raises InvalidImageError."""
    data = read_small(files, DOCKER_MANIFEST_FILE, MAX_MANIFEST_SIZE)
    return tuple(
        DockerEntry(
            config=entry.text("Config"),
            layers=entry.texts("Layers"),
            tags=entry.texts("RepoTags"),
            ambiguities=spelling(entry.misspelled, DOCKER_MANIFEST_FILE),
        )
        for entry in parse_documents(data, f"{files.name}: {DOCKER_MANIFEST_FILE}", ENTRY_SHAPE)
    )


def long_name(text: str) -> str:
    """Return a reference with registry and tag; what is none stays as it is."""
    try:
        return str(parse_reference(text))
    except UsageError:
        return text
