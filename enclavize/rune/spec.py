"""The change that rune makes to config.json (OCI runtime specification) of a TEE container.

The enclave's folder is mounted again, from the image's own tree, and the runelet of the host takes the place
of the image's; a hook looks whether both are there, options are set, SGX devices are added. All else is the
engine's: other hooks, namespaces, cgroups, and seccomp but for Gramine's direct mode. To change a
configuration twice is to change it once.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enclavize.errors import InvalidImageError
from enclavize.rune.arguments import runelet_arguments
from enclavize.rune.inclavare import VARIABLES, read_wishes
from enclavize.rune.mode import SGX_DEVICE, Mode
from enclavize.rune.mounts import check_mounts
from enclavize.rune.seccomp import with_direct_mode
from enclavize.tee.layout import ENTRYPOINT, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from enclavize.rune.origin import Origin
    from enclavize.rune.settings import Settings

MARK = "org.enclavize.tee"
"""The annotation by which the front end knows a TEE container (bundle.c)."""

SGX_DEVICES = (SGX_DEVICE, "/dev/sgx_provision")
_OWN_PREFIX = "ENCLAVIZE_"


def tee_spec(
    spec: Mapping[str, Any],
    *,
    rootfs: Path,
    bundle: Path,
    runelet: Path,
    hook: Path,
    origin: Origin,
    mode: Mode,
    settings: Settings,
    devices: Iterable[str],
    measured_argv: Callable[[], Sequence[str] | None] = lambda: None,
    direct_mode: bool = False,
) -> dict[str, Any]:
    """Return the changed configuration. Raises EnclavizeError for one that must not run.

    ``rootfs`` and ``bundle`` are absolute. ``hook`` checks that ``/.enclave`` is that of ``origin`` when all
    mounts are made. ``measured_argv`` tells what the enclave runs. ``direct_mode``: simulation is that of
    Gramine, which an engine's seccomp profile may stop.
    """
    process = _object(spec, "process")
    arguments = process.get("args")
    if not isinstance(arguments, list) or not all(isinstance(argument, str) for argument in arguments):
        raise InvalidImageError("config.json: process.args is not a list of strings")
    arguments = runelet_arguments(arguments, measured_argv())
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
        "process": {
            **process,
            "args": arguments,
            "env": kept + [f"{name}={value}" for name, value in sorted(own.items())],
        },
        "mounts": _mounts(spec, rootfs, bundle, runelet),
        "annotations": {**_object(spec, "annotations"), MARK: "1"},
        "hooks": _hooks(spec, hook, (str(rootfs), origin.device, origin.path, str(runelet))),
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


def _mounts(spec: Mapping[str, Any], rootfs: Path, bundle: Path, runelet: Path) -> list[dict[str, Any]]:
    """Return the engine's mounts with our own behind them: whatever the others do, these are on top."""
    own = [
        _own_mount(f"/{ROOT}", rootfs / ROOT),
        _own_mount(ENTRYPOINT, runelet),
    ]
    mounts = [mount for mount in _objects(spec, "mounts") if mount not in own]
    check_mounts(mounts, rootfs, bundle)
    return [*mounts, *own]


def _own_mount(destination: str, source: Path) -> dict[str, Any]:
    options = ["bind", "ro", "nosuid", "nodev"]
    return {"destination": destination, "type": "bind", "source": str(source), "options": options}


def _hooks(spec: Mapping[str, Any], hook: Path, arguments: tuple[str, ...]) -> dict[str, Any]:
    """Return the engine's hooks, and ours behind those that run between the mounts and the new root."""
    hooks = _object(spec, "hooks")
    own = {"path": str(hook), "args": [hook.name, *arguments]}
    others = [item for item in _objects(hooks, "createContainer") if item != own]
    return {**hooks, "createContainer": [*others, own]}


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
