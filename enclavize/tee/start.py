"""What engines make of an image's configuration, compared with the enclave: docs/tee-image.md, section 2.

Nothing of it is measured as it stands, and whoever holds the registry can write it. So every member that an
engine acts on is either compared with what is measured, or one that a build never writes: then it is refused.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from enclavize.errors import IntegrityError
from enclavize.rootfs.names import printable
from enclavize.tee import layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from enclavize.oci.image_config import ImageConfig
    from enclavize.rootfs.tree import Rootfs
    from enclavize.tee.contents import TeeContents
    from enclavize.tee.instance import Start

EXECUTION_MEMBERS = frozenset(
    {
        "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Healthcheck", "Volumes", "WorkingDir", "Labels",
        "StopSignal",
    }
)  # fmt: skip
"""Members of ``config`` that a build writes. Others make engines do something (OnBuild, Shell, MacAddress,
NetworkDisabled, Memory, ...), or are left from the container that an old builder made the image of."""

CONFIG_MEMBERS = frozenset(
    {
        "architecture", "author", "config", "created", "history", "os", "os.features", "os.version", "rootfs",
        "variant",
    }
)  # fmt: skip
"""Members of the configuration itself that a build writes."""

HEALTH_SCHEDULE = frozenset({"Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"})
"""Members of a health check besides what it runs: numbers, as the host looks as often as it likes."""

_INFORMATION = frozenset({"id", "parent", "comment", "container", "docker_version", "Size"})
"""What docker wrote before the OCI's format; no engine acts on it. Builds before 0.2.0 kept it."""


def check_start(config: ImageConfig, start: Start) -> None:
    """Compare what engines start with what they must start. Raises IntegrityError."""
    for name, found, wanted in (
        ("entrypoint", config.entrypoint, start.entrypoint),
        ("command", config.cmd, start.command or ()),
    ):
        if found != wanted:
            shown = shlex.join(wanted) if wanted else "none"
            raise IntegrityError(f"the image has the {name} {list(found)!r}"[:300] + f", and not {shown}")
    for name, text, expected in (
        ("environment", config.env, start.environment or ()),
        ("working directory", config.working_dir, start.working_directory),
    ):
        if text != expected:
            raise IntegrityError(f"the image has the {name} {text!r}"[:300] + ", which is not the enclave's")
    _check_members(config.raw, CONFIG_MEMBERS | _INFORMATION, "the configuration of the image")
    _check_members(config.raw.get("config") or {}, EXECUTION_MEMBERS, "the image tells engines and")


def check_process(config: ImageConfig, rootfs: Rootfs, contents: TeeContents) -> None:
    """Compare user, stop signal and health check, and refuse volumes in the way. Raises IntegrityError."""
    contents.format.check_process(config, rootfs, contents)
    for path in config.volumes:
        if hides_enclave(rootfs, path, contents.format.links):
            raise IntegrityError(f"the image has a volume at {printable(path)}, which would hide its enclave")


def hides_enclave(rootfs: Rootfs, path: str, links: Iterable[str] = ()) -> bool:
    """Whether a volume is at, above or below ``/.enclave`` or one of the enclave's ``links``.

    Links in the image are followed, as engines do.
    """
    try:
        destination = rootfs.destination(path)
    except OSError:  # a circle of links: who knows where an engine ends up
        return True
    return any(_overlap(destination, own) for own in (layout.ROOT, *links))


def is_count(value: object) -> bool:
    """Whether a JSON value is a whole number that is not negative."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _overlap(one: str, other: str) -> bool:
    return one == other or not one or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _check_members(document: Mapping[str, object], known: frozenset[str], what: str) -> None:
    """Refuse what is neither known nor empty."""
    for name, value in document.items():
        if name not in known and value not in (None, False, 0, "", [], {}):
            raise IntegrityError(
                f"{what} has {name[:60]!r}, which no build writes: {value!r}"[:300],
                hint="if enclavize before 0.2.0 built the image, build it again",
            )
