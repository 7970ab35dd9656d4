"""The configuration of an image (image-spec, config.md), and what is made of one that is odd.

Programs depend on few of its members. One that they can do without is left out where it is malformed, with a
warning; what only docker takes is taken as docker does, with one too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from enclavize.errors import InvalidImageError
from enclavize.oci.digest import parse_digest
from enclavize.oci.document import Document, optional, parse_document
from enclavize.oci.limits import MAX_CONFIG_SIZE
from enclavize.oci.shape import Shape
from enclavize.oci.stop_signal import parse_signal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from enclavize.oci.digest import Digest

_EXECUTION_SHAPE = Shape(
    names="User ExposedPorts Env Entrypoint Cmd Volumes WorkingDir Labels StopSignal ArgsEscaped "
    "Memory MemorySwap CpuShares Hostname Domainname AttachStdin AttachStdout AttachStderr Tty OpenStdin "
    "StdinOnce Image NetworkDisabled MacAddress OnBuild StopTimeout Shell",
    below={"Healthcheck": Shape(names="Test Interval Timeout StartPeriod StartInterval Retries")},
)
CONFIG_SHAPE = Shape(
    names="id parent comment created container docker_version author architecture variant os os.version "
    "os.features Size",
    below={
        "config": _EXECUTION_SHAPE,
        "container_config": _EXECUTION_SHAPE,
        "rootfs": Shape(names="type diff_ids"),
        "history": Shape(names="created created_by author comment empty_layer"),
    },
)
"""image-spec, config.md, and what docker adds to it (moby, api/types/container/config.go, image/image.go)."""

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
"""What Go's time.Time reads out of JSON."""


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """The image configuration (image-spec, config.md). Absent members are empty, as docker treats them.

    ``env`` holds ``NAME=value`` items; ``created`` is RFC 3339 text. A member that programs can do without is
    left out where it is malformed; ``oddities`` tell of that, and of what only docker takes. ``raw`` is the
    whole JSON object less such members, with the names of the format; ``misspelled`` are those that it had
    otherwise (see ``Document``).
    """

    architecture: str
    os: str
    created: str
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    env: tuple[str, ...]
    working_dir: str
    user: str
    stop_signal: str
    healthcheck: Mapping[str, Any] | None
    """With a ``Test`` that docker runs, or with none."""
    shell: tuple[str, ...]
    labels: Mapping[str, str]
    volumes: tuple[str, ...]
    exposed_ports: tuple[str, ...]
    diff_ids: tuple[Digest, ...]
    history: tuple[Mapping[str, Any], ...]
    raw: Mapping[str, Any]
    misspelled: tuple[str, ...]
    oddities: tuple[str, ...]


def parse_config(data: bytes, what: str) -> ImageConfig:
    """Parse an image configuration. Raises InvalidImageError."""
    if len(data) > MAX_CONFIG_SIZE:
        raise InvalidImageError(f"{what} is larger than {MAX_CONFIG_SIZE} bytes")
    document = parse_document(data, what, CONFIG_SHAPE)
    execution = document.document("config") or Document({}, what)
    rootfs = document.document("rootfs") or Document({}, what)
    if rootfs.text("type") not in ("", "layers"):
        raise rootfs.wrong("type", "'layers'")
    oddities: list[str] = []
    information = _information(document, oddities)
    return ImageConfig(
        architecture=document.text("architecture"),
        os=document.text("os"),
        created=information.text("created"),
        entrypoint=_entrypoint(execution, oddities),
        cmd=_words(execution, "Cmd", oddities),
        env=_texts(execution, "Env", oddities),
        working_dir=_without_nul(execution, "WorkingDir", execution.text("WorkingDir")),
        user=_without_nul(execution, "User", execution.text("User")),
        stop_signal=_stop_signal(execution, oddities),
        healthcheck=_healthcheck(execution, oddities),
        shell=optional(lambda: _words(execution, "Shell", oddities), (), oddities),
        labels=execution.labels("Labels", oddities),
        volumes=optional(lambda: execution.keys("Volumes"), (), oddities),
        exposed_ports=optional(lambda: execution.keys("ExposedPorts"), (), oddities),
        diff_ids=tuple(map(parse_digest, rootfs.texts("diff_ids"))),
        history=tuple(entry.members for entry in information.documents("history")),
        raw=information.members,
        misspelled=document.misspelled,
        oddities=tuple(oddities),
    )


def _words(document: Document, key: str, oddities: list[str]) -> tuple[str, ...]:
    return tuple(_without_nul(document, key, word) for word in document.words(key, oddities))


def _texts(document: Document, key: str, oddities: list[str]) -> tuple[str, ...]:
    return tuple(_without_nul(document, key, text) for text in document.texts(key, oddities))


def _without_nul(document: Document, key: str, text: str) -> str:
    """Refuse what execve(2) could not pass on."""
    if "\0" in text:
        raise document.wrong(key, "free of NUL")
    return text


def _entrypoint(execution: Document, oddities: list[str]) -> tuple[str, ...]:
    """Return the entrypoint; docker takes one empty word for none (moby, daemon/commit.go and create.go)."""
    words = _words(execution, "Entrypoint", oddities)
    if words != ("",):
        return words
    oddities.append(f"{execution.what}: 'Entrypoint' is one empty text; docker takes it for none")
    return ()


def _stop_signal(execution: Document, oddities: list[str]) -> str:
    text = optional(lambda: execution.text("StopSignal"), "", oddities)
    if not text or parse_signal(text):
        return text
    oddities.append(f"{execution.what}: 'StopSignal' is {text[:40]!r}, which is no signal, and is left out")
    return ""


def _healthcheck(execution: Document, oddities: list[str]) -> Mapping[str, Any] | None:
    """Return the health check if docker can run it (moby, daemon/health.go, ``getProbe``)."""
    check = optional(lambda: execution.document("Healthcheck"), None, oddities)
    if check is None:
        return None
    schedule = {key: value for key, value in check.members.items() if key != "Test"}
    for key in [key for key, value in schedule.items() if not _is_whole(value)]:
        oddities.append(f"{check.what}: {key[:40]!r} is not a whole number, and is left out")
        del schedule[key]
    no_words: tuple[str, ...] = ()
    match test := optional(lambda: _texts(check, "Test", oddities), no_words, oddities):
        case ():
            return schedule
        case ("NONE", *_) | ("CMD" | "CMD-SHELL", _, *_):
            return {**schedule, "Test": list(test)}
        case _:
            shown = f"{list(test)!r}"[:200]
            oddities.append(f"{check.what}: docker does not run {shown}, which is left out")
            return None


def _is_whole(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def _information(document: Document, oddities: list[str]) -> Document:
    """Return the configuration without malformed members that tell people something, and do nothing.

    Engines would refuse the image that is made of this one for their sake.
    """
    checks: Mapping[str, Callable[[], object]] = {
        "created": partial(_check_time, document, "created"),
        "author": partial(document.text, "author"),
        "variant": partial(document.text, "variant"),
        "os.version": partial(document.text, "os.version"),
        "os.features": partial(document.texts, "os.features"),
        "history": partial(_check_history, document),
    }
    members = dict(document.members)
    for name, check in checks.items():
        found: list[str] = []
        optional(check, None, found)
        if found:
            oddities += found
            del members[name]
    return replace(document, members=members)


def _check_history(document: Document) -> None:
    for entry in document.documents("history"):
        _check_time(entry, "created")
        for name in ("created_by", "author", "comment"):
            entry.text(name)


def _check_time(document: Document, name: str) -> None:
    text = document.text(name)
    if document.members.get(name) is not None and not _RFC3339.fullmatch(text):
        raise document.wrong(name, "a time like 2006-01-02T15:04:05Z")
