"""podman: a file of our own in ``containers.conf.d`` (containers.conf(5))."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import tomlkit

from enclavize.errors import EnclavizeError
from enclavize.node.edit import Edit, read_file
from enclavize.node.runtime import NAME

if TYPE_CHECKING:
    from enclavize.node.runtime import Runtime

CONFIG = Path("/etc/containers/containers.conf.d/50-enclavize.conf")
NEXT_STEP = "podman --runtime rune run TEE_IMAGE"

_SUPPORT_JSON = ["crun", "runc", "kata", "runsc", "youki", "krun", NAME]
"""podman's own list, which a file replaces as a whole: they write errors in the form that podman reads."""


def plan(path: Path, runtime: Runtime | None) -> Edit:
    """Return the change that adds a runtime, or takes it away. Raises EnclavizeError."""
    before = read_file(path)
    if runtime is None:
        return Edit(path=path, before=before, after=None)
    if runtime.options:
        raise EnclavizeError(
            "podman takes options of a runtime from its command line only",
            hint="podman --runtime rune --runtime-flag simulate run ..., "
            "or allow_simulation = true in /etc/rune/config.toml",
        )
    document = tomlkit.document()
    engine, runtimes = tomlkit.table(), tomlkit.table()
    engine["runtime_supports_json"] = _SUPPORT_JSON
    runtimes[NAME] = [str(runtime.path)]
    engine["runtimes"] = runtimes
    document["engine"] = engine
    return Edit(path=path, before=before, after=tomlkit.dumps(document).encode())


def names_rune(path: Path) -> bool:
    """Whether our file is there. Raises EnclavizeError if that cannot be told."""
    return read_file(path) is not None
