"""``--annotation [LEVEL[,LEVEL]:]KEY=VALUE``, with the levels of docker buildx."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from enclavize.cli.grammar.fields import parse_pair
from enclavize.errors import UsageError
from enclavize.tee.engine_names import OWN_PREFIX, acted_on

if TYPE_CHECKING:
    from collections.abc import Iterable

_LEVEL = r"(?:manifest|index|manifest-descriptor|index-descriptor)(?:\[[A-Za-z0-9/_.-]+\])?"
_PREFIX = re.compile(rf"({_LEVEL}(?:,{_LEVEL})*):(.*)", re.ASCII | re.DOTALL)


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
        refuse_names(key, "--annotation")
        annotations[key] = value
    return annotations


def parse_labels(texts: Iterable[str]) -> dict[str, str]:
    """Parse ``KEY=VALUE``, or ``KEY`` for an empty value. Raises UsageError."""
    labels: dict[str, str] = {}
    for text in texts:
        key, value = parse_pair(text if "=" in text else f"{text}=", "--label")
        refuse_names(key, "--label")
        labels[key] = value
    return labels


def refuse_names(key: str, option: str) -> None:
    """Keep names from being set by hand that describe the enclave, or that engines act on."""
    if key.startswith(OWN_PREFIX):
        raise UsageError(f"{option}: the names {OWN_PREFIX}* are given by the build")
    if any(acted_on([key])):
        raise UsageError(
            f"{option}: {key!r} tells engines how to run the container, so verify would refuse the image",
            hint="give it to the engine when the container is started",
        )
