"""containerd's ``config.toml``: rune among the runtimes of its CRI plug-in.

Source: docs/cri/config.md and docs/PLUGINS.md of containerd: versions 1 and 2 of the file are of releases
before 2.0, version 3 of those since.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomlkit

from enclavize.errors import EnclavizeError
from enclavize.node.edit import Edit, read_file
from enclavize.node.runtime import NAME
from enclavize.node.toml import dump, parse, table_at

if TYPE_CHECKING:
    from enclavize.node.runtime import Runtime

CONFIG = Path("/etc/containerd/config.toml")
NEXT_STEP = "systemctl restart containerd; then a RuntimeClass with the handler rune"

_PLUGINS = {2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.runtime"}
_RUNTIME_TYPE = "io.containerd.runc.v2"
_POD_ANNOTATIONS = ["enclave.*", "org.enclavize.*"]
"""Those of pods that the runtime is to see."""


def plan(path: Path, runtime: Runtime | None, *, version: int = 2) -> Edit:
    """Return the change that adds a runtime, or takes it away.

    ``version`` is that of a new file: 2, or 3 for containerd 2. Raises EnclavizeError.
    """
    before = read_file(path)
    document = parse(before, path)
    if not before:
        if runtime is None:
            return Edit(path=path, before=before, after=before)
        document["version"] = version
    found = document.get("version", 1)
    if found not in _PLUGINS:
        raise EnclavizeError(
            f"{path} has version {found}; the runtimes of version 2 and 3 are known here",
            hint="let containerd write it anew: containerd config migrate",
        )
    runtimes = table_at(document, ("plugins", _PLUGINS[found], "containerd", "runtimes"), path)
    if runtime is None:
        if NAME not in runtimes:
            return Edit(path=path, before=before, after=before)
        runtimes.remove(NAME)
    else:
        if runtime.options:
            raise EnclavizeError(
                "containerd gives no options to a runtime",
                hint="write them into /etc/rune/config.toml, such as allow_simulation = true",
            )
        own = _runtime(runtime)
        if NAME in runtimes and runtimes[NAME].unwrap() == own.unwrap():
            return Edit(path=path, before=before, after=before)
        if NAME in runtimes:
            runtimes.remove(NAME)
        runtimes.add(NAME, own)
    return Edit(path=path, before=before, after=dump(document))


def names_rune(path: Path) -> bool:
    """Whether the file has the runtime. Raises EnclavizeError for one that cannot be read."""
    return plan(path, None).changes


def _runtime(runtime: Runtime) -> Any:
    table, options = tomlkit.table(), tomlkit.table()
    table["runtime_type"] = _RUNTIME_TYPE
    table["pod_annotations"] = _POD_ANNOTATIONS
    options["BinaryName"] = str(runtime.path)
    table["options"] = options
    return table
