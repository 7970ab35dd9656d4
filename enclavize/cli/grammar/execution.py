"""``--entrypoint`` and its kin: how the program in ``dir:PATH`` is run, in words of docker and buildah."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.oci.execution import NOTHING, Execution, not_of_an_image
from enclavize.oci.location import DirectoryLocation, parse_location

if TYPE_CHECKING:
    from collections.abc import Iterable

    from enclavize.oci.location import Location

_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp|sctp))?", re.ASCII | re.IGNORECASE)
"""docker run --expose."""
_MAX_PORT = 65535


def parse_source(
    source: str,
    *,
    entrypoint: str | None,
    cmd: str | None,
    env: list[str] | None,
    workdir: str | None,
    user: str | None,
    expose: list[str] | None,
    volumes: list[str] | None,
) -> Location:
    """Parse the location of an image; that of a folder says how its program is run. Raises UsageError."""
    location = parse_location(source)
    execution = Execution(
        entrypoint=_command("--entrypoint", entrypoint),
        cmd=_command("--cmd", cmd),
        env=tuple(map(_variable, env or ())),
        working_dir=_absolute("--workdir", workdir) if workdir else "",
        user=user or "",
        ports=tuple(dict.fromkeys(_ports(expose or ()))),
        volumes=tuple(dict.fromkeys(_absolute("--volume-of-image", path) for path in volumes or ())),
    )
    if execution == NOTHING:
        return location
    if not isinstance(location, DirectoryLocation):
        raise not_of_an_image(source)
    return replace(location, execution=execution)


def _command(option: str, text: str | None) -> tuple[str, ...]:
    if not text:
        return ()
    try:
        words = json.loads(text) if text.lstrip().startswith("[") else shlex.split(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{option} {text[:200]!r}: {error}") from error
    if not words or not all(isinstance(word, str) and "\0" not in word for word in words):
        raise UsageError(
            f"{option} {text!r} is no command", hint='write words, or JSON like ["/bin/app", "-v"]'
        )
    return tuple(words)


def _variable(text: str) -> str:
    name, equals, _ = text.partition("=")
    if not name or not equals or "\0" in text:
        raise UsageError(
            f"--env {text!r} is not of the form NAME=VALUE",
            hint="the value is measured; one that the host gives when it runs is: --allow-env NAME",
        )
    return text


def _absolute(option: str, path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise UsageError(f"{option} {path!r} is no absolute path")
    return posixpath.normpath(path).replace("//", "/")


def _ports(texts: Iterable[str]) -> Iterable[str]:
    for text in texts:
        match = _PORT.fullmatch(text)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not match or not 0 < first <= last <= _MAX_PORT:
            raise UsageError(
                f"--expose {text!r} is no port", hint="write it like 80, 53/udp or 8000-8010/tcp"
            )
        for port in range(first, last + 1):
            yield f"{port}/{(match[3] or 'tcp').lower()}"
