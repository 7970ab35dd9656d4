"""docker's ``daemon.json``: rune among its runtimes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError
from enclavize.node.edit import Edit, read_file
from enclavize.node.runtime import NAME

if TYPE_CHECKING:
    from enclavize.node.runtime import Runtime

CONFIG = Path("/etc/docker/daemon.json")
NEXT_STEP = "systemctl reload docker; then: docker run --runtime rune TEE_IMAGE"


def plan(path: Path, runtime: Runtime | None) -> Edit:
    """Return the change that adds a runtime, or takes it away.

    Raises EnclavizeError for a file that cannot be changed.
    """
    before = read_file(path)
    document = _parse(before, path)
    runtimes = _runtimes(document, path)
    others = {name: value for name, value in runtimes.items() if name != NAME}
    if runtime is not None:
        own: dict[str, Any] = {"path": str(runtime.path)}
        if runtime.options:
            own["runtimeArgs"] = list(runtime.options)
        if runtimes.get(NAME) == own:
            return Edit(path=path, before=before, after=before)
        changed = {**document, "runtimes": {**others, NAME: own}}
    elif NAME not in runtimes:
        return Edit(path=path, before=before, after=before)
    else:
        if document.get("default-runtime") == NAME:
            raise EnclavizeError(
                f"{path} makes {NAME} the default runtime", hint="take default-runtime out of it first"
            )
        changed = {**document, "runtimes": others}
        if not others:
            del changed["runtimes"]
    return Edit(path=path, before=before, after=json.dumps(changed, indent=2).encode() + b"\n")


def names_rune(path: Path) -> bool:
    """Whether the file has the runtime. Raises EnclavizeError for one that docker could not read."""
    return NAME in _runtimes(_parse(read_file(path), path), path)


def _runtimes(document: dict[str, Any], path: Path) -> dict[str, Any]:
    runtimes = document.get("runtimes", {})
    if not isinstance(runtimes, dict):
        raise EnclavizeError(f"{path}: runtimes is not an object")
    return runtimes


def _parse(data: bytes | None, path: Path) -> dict[str, Any]:
    if data is None or not data.strip():
        return {}
    try:
        document = json.loads(data, object_pairs_hook=lambda pairs: _unique(pairs, path))
    except (ValueError, RecursionError) as error:
        raise EnclavizeError(f"{path}: {error}", hint="docker could not read it either") from error
    if not isinstance(document, dict):
        raise EnclavizeError(f"{path} is not a JSON object")
    return document


def _unique(pairs: list[tuple[str, Any]], path: Path) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise EnclavizeError(f"{path} names a member twice, so a change could lose one")
    return found
