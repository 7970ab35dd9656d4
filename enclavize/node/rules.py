"""The node's rules: which ordinary images become enclaves, with which options.

Files ``*.toml`` of ``/etc/rune/convert.d``, in the order of their names; the first whose ``[match]`` takes an
image decides, and no other is looked at. What else stands in a file has the form of ``enclavize.toml``:

    [match]
    image = ["registry.example/team/*", "docker.io/library/redis:7"]
    namespace = ["shop"]
    label = { "org.example.tier" = "db" }

    production = true            # above [match], as TOML wants it
    [policy]
    allow-args = true

An image must suit each key of ``[match]``, in one of its values; of labels in all. Without the table a rule
takes every image. An image that no rule takes is not converted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError, UsageError
from enclavize.oci.reference import parse_reference
from enclavize.pipeline.configuration import parse_configuration
from enclavize.rootfs.names import printable
from enclavize.rune.policy import read_pinned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from enclavize.pipeline.configuration import Configuration

MATCH = "match"
_ALL_BELOW = "/*"
_FOR_IMAGES_ALONE = ("label", "annotation")
"""Options about a TEE image: a node makes none."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a rule can ask about. ``image`` is the engine's name for it, ``namespace`` the pod's, or empty."""

    image: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """``images``, ``namespaces`` None: any."""

    name: str
    configuration: Configuration = field(repr=False)
    images: tuple[str, ...] | None = None
    namespaces: tuple[str, ...] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def takes(self, subject: Subject) -> bool:
        """Whether this rule is for an image."""
        return (
            (self.images is None or any(_is_named(subject.image, pattern) for pattern in self.images))
            and (self.namespaces is None or subject.namespace in self.namespaces)
            and all(subject.labels.get(name) == value for name, value in self.labels.items())
        )


def load_rules(path: Path) -> tuple[Rule, ...]:
    """Read one file, or all of a folder. Raises EnclavizeError; a folder that is not there has none."""
    if not path.is_dir():
        return (_read_rule(path),) if path.exists() or path.suffix == ".toml" else ()
    return tuple(_read_rule(file) for file in sorted(path.glob("*.toml")))


def rule_for(rules: Sequence[Rule], subject: Subject) -> Rule:
    """Return the first one that takes an image. Raises EnclavizeError if none does."""
    for rule in rules:
        if rule.takes(subject):
            return rule
    where = f" in the namespace {printable(subject.namespace)}" if subject.namespace else ""
    raise EnclavizeError(
        f"no rule of this node is for {printable(subject.image)}{where}, so it is not converted",
        hint="see: enclavize policy check /etc/rune/convert.d IMAGE",
    )


def _read_rule(path: Path) -> Rule:
    configuration, others = parse_configuration(read_pinned(path) or b"", str(path), apart=(MATCH,))
    for key in _FOR_IMAGES_ALONE:
        if configuration.get("", key):
            raise configuration.wrong("", key, "is for images, and a node makes none")
    table = others.get(MATCH, {})
    if not isinstance(table, dict):
        raise configuration.wrong("", MATCH, "is not a table")
    for key in table.keys() - {"image", "namespace", "label"}:
        raise configuration.wrong(MATCH, key, "is unknown")
    images = _texts(configuration, table, "image")
    for pattern in images or ():
        if not _is_pattern(pattern):
            raise configuration.wrong(MATCH, "image", f"has {pattern[:100]!r}, which is no name in full")
    labels = table.get("label", {})
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise configuration.wrong(MATCH, "label", "is not a table of texts")
    return Rule(
        name=path.name,
        configuration=configuration,
        images=images,
        namespaces=_texts(configuration, table, "namespace"),
        labels=labels,
    )


def _texts(configuration: Configuration, table: Mapping[str, Any], key: str) -> tuple[str, ...] | None:
    value = table.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(item, str) and item for item in value):
        raise configuration.wrong(MATCH, key, "is not a list of texts that is not empty")
    return tuple(value)


def _is_pattern(text: str) -> bool:
    """Whether a text is a name as engines keep it, in full: ``docker.io/library/redis``."""
    name = text.removesuffix(_ALL_BELOW)
    try:
        found = parse_reference(f"{name}/any/name" if name != text else name)
    except UsageError:
        return False
    return str(found).startswith(name) and found.registry == name.split("/")[0]


def _is_named(image: str, pattern: str) -> bool:
    try:
        found = parse_reference(image)
    except UsageError:  # an engine can have an image without a name
        return False
    if pattern.endswith(_ALL_BELOW):
        return found.name.startswith(pattern.removesuffix("*"))
    tagged = f"{found.name}:{found.tag}"
    return pattern in (found.name, tagged, f"{found.name}@{found.digest}", str(found))
