"""The change that rune makes to config.json (OCI runtime specification) of a TEE container.

The runelet of the host takes the place of the image's, its options are set, SGX devices are added. All else
is the engine's: hooks, namespaces, cgroups, and seccomp but for Gramine's direct mode. To change a
configuration twice is to change it once.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError, InvalidImageError
from enclavize.rune.inclavare import VARIABLES, read_wishes
from enclavize.rune.mode import SGX_DEVICE, Mode
from enclavize.rune.seccomp import with_direct_mode
from enclavize.tee.layout import ENTRYPOINT, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from enclavize.rune.settings import Settings

MARK = "org.enclavize.tee"
"""The annotation by which the front end knows a TEE container (bundle.c)."""

SGX_DEVICES = (SGX_DEVICE, "/dev/sgx_provision")
_OWN_PREFIX = "ENCLAVIZE_"
_MAX_SYMLINKS = 40


def tee_spec(
    spec: Mapping[str, Any],
    *,
    rootfs: Path,
    runelet: Path,
    mode: Mode,
    settings: Settings,
    devices: Iterable[str],
    direct_mode: bool = False,
) -> dict[str, Any]:
    """Return the changed configuration. Raises EnclavizeError for one that must not run.

    ``direct_mode``: simulation is that of Gramine, which an engine's seccomp profile may stop.
    """
    process = _object(spec, "process")
    arguments = process.get("args")
    if not isinstance(arguments, list) or not arguments or arguments[0] != ENTRYPOINT:
        raise EnclavizeError(
            f"the entrypoint of this TEE container is not {ENTRYPOINT}",
            hint="run it without --entrypoint and --init: the enclave decides what it runs",
        )
    environment = _environment(process)
    wishes = read_wishes(_object(spec, "annotations"), environment)
    own = {"ENCLAVIZE_LOG_LEVEL": wishes.log_level or settings.log_level, **dict(wishes.runelet_environment)}
    if mode is Mode.SIMULATION:
        own["ENCLAVIZE_SIMULATE"] = "1"
    kept = [
        f"{name}={value}"
        for name, value in environment.items()
        if not name.startswith(_OWN_PREFIX) and name not in VARIABLES
    ]
    changed = {
        **spec,
        "process": {**process, "env": kept + [f"{name}={value}" for name, value in sorted(own.items())]},
        "mounts": _mounts(spec, rootfs, runelet),
        "annotations": {**_object(spec, "annotations"), MARK: "1"},
    }
    if mode is Mode.HARDWARE:
        changed["linux"] = _with_devices(_object(spec, "linux"), devices)
    elif direct_mode and (seccomp := _object(_object(spec, "linux"), "seccomp")):
        changed["linux"] = {**_object(spec, "linux"), "seccomp": with_direct_mode(seccomp)}
    return changed


def _object(parent: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = parent.get(name) or {}
    if not isinstance(value, dict):
        raise InvalidImageError(f"config.json: {name} is not an object")
    return value


def _objects(parent: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    value = parent.get(name) or []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InvalidImageError(f"config.json: {name} is not a list of objects")
    return value


def _environment(process: Mapping[str, Any]) -> dict[str, str]:
    variables = process.get("env") or []
    if not isinstance(variables, list) or not all(isinstance(item, str) for item in variables):
        raise InvalidImageError("config.json: process.env is not a list of strings")
    return {name: value for name, equals, value in (item.partition("=") for item in variables) if equals}


def _mounts(spec: Mapping[str, Any], rootfs: Path, runelet: Path) -> list[dict[str, Any]]:
    own = {
        "destination": ENTRYPOINT,
        "type": "bind",
        "source": str(runelet),
        "options": ["bind", "ro", "nosuid", "nodev"],
    }
    mounts = [mount for mount in _objects(spec, "mounts") if mount != own]
    for mount in mounts:
        destination = mount.get("destination")
        if not isinstance(destination, str) or "\0" in destination:
            raise InvalidImageError("config.json: a mount has no destination")
        where = resolve_in_root(rootfs, destination)
        if where == PurePosixPath("/") or where.parts[:2] == ("/", ROOT):
            raise EnclavizeError(f"a mount on {destination} would cover /.enclave of the TEE container")
    return [*mounts, own]


def resolve_in_root(rootfs: Path, path: str) -> PurePosixPath:
    """Return where ``path`` leads inside ``rootfs``, links followed; what does not exist stays as it is."""
    pending = [part for part in path.split("/") if part not in ("", ".")][::-1]
    resolved: list[str] = []
    links = 0
    while pending:
        part = pending.pop()
        if part == "..":
            del resolved[-1:]
            continue
        try:
            target = rootfs.joinpath(*resolved, part).readlink().as_posix()
        except OSError:
            resolved.append(part)
            continue
        links += 1
        if links > _MAX_SYMLINKS:
            raise EnclavizeError(f"too many symbolic links in the mount destination {path}")
        if target.startswith("/"):
            resolved = []
        pending.extend([item for item in target.split("/") if item not in ("", ".")][::-1])
    return PurePosixPath("/", *resolved)


def _with_devices(linux: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """Add those devices that the host has and the engine did not add, and let the device cgroup pass them."""
    devices, resources = _objects(linux, "devices"), _object(linux, "resources")
    rules = _objects(resources, "devices")
    present = {device.get("path") for device in devices}
    for path in paths:
        status = _character_device(path)
        if status is None:
            continue
        number = {"type": "c", "major": os.major(status.st_rdev), "minor": os.minor(status.st_rdev)}
        if path not in present:
            devices = [*devices, {"path": path, **number, "fileMode": 0o666, "uid": 0, "gid": 0}]
        rules = [*rules, {"allow": True, **number, "access": "rw"}]
    return {**linux, "devices": devices, "resources": {**resources, "devices": rules}}


def _character_device(path: str) -> os.stat_result | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status if stat.S_ISCHR(status.st_mode) else None
