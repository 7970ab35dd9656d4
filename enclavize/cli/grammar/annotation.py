"""``--annotation [LEVEL[,LEVEL]:]KEY=VALUE``, with the levels of docker buildx."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from enclavize.cli.grammar.fields import parse_pair
from enclavize.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

_LEVEL = r"(?:manifest|index|manifest-descriptor|index-descriptor)(?:\[[A-Za-z0-9/_.-]+\])?"
_PREFIX = re.compile(rf"({_LEVEL}(?:,{_LEVEL})*):(.*)", re.ASCII | re.DOTALL)
_OWN_PREFIX = "org.enclavize."


def parse_annotations(texts: Iterable[str]) -> dict[str, str]:
    """Parse all values of the option; the last one of a key wins, as in buildx. Raises UsageError."""
    annotations: dict[str, str] = {}
    for text in texts:
        match = _PREFIX.fullmatch(text)
        levels, rest = (match[1].split(","), match[2]) if match else (["manifest"], text)
        for level in levels:
            if level.partition("[")[0] != "manifest":
                raise UsageError(
                    f"--annotation {text!r}: the result is one manifest, without an image index",
                    hint="the only level is manifest",
                )
        key, value = parse_pair(rest, "--annotation")
        refuse_own_names(key, "--annotation")
        annotations[key] = value
    return annotations


def parse_labels(texts: Iterable[str]) -> dict[str, str]:
    """Parse ``KEY=VALUE``, or ``KEY`` for an empty value. Raises UsageError."""
    labels: dict[str, str] = {}
    for text in texts:
        key, value = parse_pair(text if "=" in text else f"{text}=", "--label")
        refuse_own_names(key, "--label")
        labels[key] = value
    return labels


def refuse_own_names(key: str, option: str) -> None:
    """Keep names that describe the enclave from being set by hand."""
    if key.startswith(_OWN_PREFIX):
        raise UsageError(f"{option}: the names {_OWN_PREFIX}* are given by the build")
