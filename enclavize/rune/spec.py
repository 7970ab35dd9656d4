"""What rune changes in config.json (OCI runtime specification) of a TEE container, as a plan.

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

from enclavize.errors import EnclavizeError, InvalidImageError
from enclavize.rune.arguments import command_head
from enclavize.rune.inclavare import ANNOTATION_PREFIX, CARRIER, STRICT, VARIABLES, read_wishes
from enclavize.rune.mode import ENCLAVE_DEVICES, SGX_DEVICE, Mode
from enclavize.rune.mounts import check_mounts
from enclavize.rune.plan import (
    DEVICE,
    EMPTY,
    ENCLAVE,
    FOLDER,
    NONE,
    ORIGIN,
    OTHER,
    ROOTFS,
    ConfigPlan,
    kind_of_place,
)
from enclavize.rune.seccomp import DIRECT_MODE_RULE
from enclavize.tee.layout import ENTRYPOINT, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from enclavize.rune.inclavare import Wishes
    from enclavize.rune.mounts import Look
    from enclavize.rune.settings import Settings

MARK = "org.enclavize.tee"
"""The annotation by which the front end knows a TEE container (container.c)."""

SGX_DEVICES = (SGX_DEVICE,)
"""The provisioning device is never added: it lets an enclave see a key by which the machine is known for ever
(Documentation/arch/x86/sgx.rst, "Provisioning"). Who wants it there asks the engine for it."""

PAL_DEVICES = ENCLAVE_DEVICES
"""What PALs of others may look for: also the names of Intel's DCAP driver, and of its legacy one."""

_DCAP_NAMES = {SGX_DEVICE: "/dev/sgx/enclave"}
"""The same interface under other names, where Intel's DCAP driver has made the devices."""

AESM = "/var/run/aesmd"
"""The folder with the socket of Intel's architectural enclaves, which Inclavare's rune mounts, too."""

OWN_PREFIX = "ENCLAVIZE_"
_ARGS, _ENV = ("process", "args"), ("process", "env")
_DEVICES, _DEVICE_RULES = ("linux", "devices"), ("linux", "resources", "devices")
_SECCOMP = ("linux", "seccomp")


def tee_plan(
    spec: Mapping[str, Any],
    *,
    rootfs: Path,
    bundle: Path,
    runelet: Path,
    hook: Path,
    mode: Mode,
    settings: Settings,
    devices: Iterable[str],
    measured_argv: Callable[[], Sequence[str] | None] = lambda: None,
    direct_mode: bool = False,
    quotes: bool = False,
    tree: Path | None = None,
    entrypoint: Sequence[str] = (),
) -> tuple[ConfigPlan, list[Look] | None]:
    """Return what becomes of a configuration. Raises EnclavizeError for one that must not run.

    ``rootfs`` and ``bundle`` are absolute. ``hook`` checks that ``/.enclave`` is the one of ``rootfs`` when
    all mounts are made. ``measured_argv`` tells what the enclave runs. ``direct_mode``: simulation is that of
    Gramine, which an engine's seccomp profile may stop. ``quotes``: the enclave may ask for
    quotes, by the host's socket of the architectural enclaves. The second result are the looks at the host by
    which mounts were checked (mounts.py). ``tree`` holds ``.enclave``, if that is not ``rootfs``: the image
    is an ordinary one with this ``entrypoint``, which the node has converted.
    """
    plan = ConfigPlan()
    process = object_of(spec, "process")
    _plan_arguments(plan, process, measured_argv, entrypoint)
    wishes = _plan_wishes(plan, process, object_of(spec, "annotations"), converted=tree not in (None, rootfs))
    _plan_environment(plan, wishes, mode, settings)
    if mode is Mode.HARDWARE and quotes:
        plan.append(("mounts",), *aesm_mounts(plan, objects_of(spec, "mounts")))
    looks = _plan_mounts(plan, spec, rootfs, bundle, ((tree or rootfs) / ROOT, runelet))
    plan.put(("annotations",), MARK, "1")
    objects_of(object_of(spec, "hooks"), "createContainer")
    arguments = [hook.name, ROOTFS, DEVICE, ORIGIN, str(runelet)]
    # Hooks of this kind run between the mounts and the new root; ours runs behind the engine's.
    plan.append(("hooks", "createContainer"), {"path": str(hook), "args": arguments})
    linux = object_of(spec, "linux")
    if mode is Mode.HARDWARE:
        plan_devices(plan, linux, devices)
    elif direct_mode:
        _plan_seccomp(plan, linux)
    return plan, looks


def _plan_arguments(
    plan: ConfigPlan,
    process: Mapping[str, Any],
    measured_argv: Callable[[], Sequence[str] | None],
    entrypoint: Sequence[str],
) -> None:
    arguments = strings_of(process, "args")
    head = command_head(arguments, measured_argv(), entrypoint)
    plan.require_head(_ARGS, head.given, more=head.more)
    plan.replace_head(_ARGS, len(head.given), [ENTRYPOINT])


def _plan_wishes(
    plan: ConfigPlan, process: Mapping[str, Any], annotations: Mapping[str, Any], *, converted: bool
) -> Wishes:
    """Read what is asked of the runelet; with the same questions goes the same answer."""
    variables = strings_of(process, "env")
    deciding = [f"{name}=" for name in (*VARIABLES, *((CARRIER,) if converted else ()))]
    found = [item for item in variables if item.startswith(tuple(deciding))]
    asked = {key: value for key, value in annotations.items() if key.startswith(ANNOTATION_PREFIX)}
    plan.require_strings(_ENV, deciding, found)
    plan.require_keys(("annotations",), [ANNOTATION_PREFIX], asked)
    environment = {name: value for name, _, value in (item.partition("=") for item in found)}
    return read_wishes(asked, environment, converted=converted)


def _plan_environment(plan: ConfigPlan, wishes: Wishes, mode: Mode, settings: Settings) -> None:
    """Variables that rune consumes give way to its own, which are the runelet's options."""
    own = {"ENCLAVIZE_LOG_LEVEL": wishes.log_level or settings.log_level, **dict(wishes.runelet_environment)}
    if mode is Mode.SIMULATION:
        own["ENCLAVIZE_SIMULATE"] = "1"
    elif own.get("ENCLAVIZE_ENCLU") in STRICT:
        raise EnclavizeError(
            f"enclave.runtime.args: enclu={own['ENCLAVIZE_ENCLU']} is strict simulation, and this enclave "
            "runs on SGX hardware",
            hint="leave it out, or ask for simulation, too",
        )
    lines = [f"{name}={value}" for name, value in sorted(own.items())]
    plan.replace_strings(_ENV, [OWN_PREFIX, *(f"{name}=" for name in VARIABLES)], lines)


def _plan_mounts(
    plan: ConfigPlan, spec: Mapping[str, Any], rootfs: Path, bundle: Path, own: tuple[Path, Path]
) -> list[Look] | None:
    """Put our own mounts behind the engine's: whatever the others do, these are on top.

    ``own`` are the enclave's folder and the runelet.
    """
    enclave, runelet = own
    mounts = objects_of(spec, "mounts")
    there = [own_mount(f"/{ROOT}", str(enclave)), own_mount(ENTRYPOINT, str(runelet))]
    looks = check_mounts(mounts, rootfs, bundle, own=there)
    plan.require_elements(("mounts",), ("destination", "type", "options"), mounts)
    plan.append(("mounts",), own_mount(f"/{ROOT}", ENCLAVE), own_mount(ENTRYPOINT, str(runelet)))
    return looks


def own_mount(destination: str, source: str, access: str = "ro") -> dict[str, Any]:
    """Return a mount that rune adds."""
    options = ["bind", access, "nosuid", "nodev"]
    return {"destination": destination, "type": "bind", "source": source, "options": options}


def aesm_mounts(plan: ConfigPlan, mounts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the mount of the socket's folder, if this machine has one and no mount is there already."""
    own = own_mount(AESM, AESM)
    there = {mount.get("destination") for mount in mounts if mount != own}
    if there & {AESM, "/run/aesmd"}:
        return []
    is_there = kind_of_place(Path(AESM), follow=True) in (EMPTY, FOLDER)
    plan.require_place("host", AESM.lstrip("/"), [EMPTY, FOLDER] if is_there else [NONE, OTHER])
    return [own] if is_there else []


def plan_devices(plan: ConfigPlan, linux: Mapping[str, Any], paths: Iterable[str]) -> None:
    """Add those devices that the host has and the engine did not add, and let the device cgroup pass them.

    In the container a device has the name that Linux gives it, whatever the host's driver calls it.
    """
    objects_of(object_of(linux, "resources"), "devices")
    wanted = list(paths)
    present = [item["path"] for item in objects_of(linux, "devices") if item.get("path") in wanted]
    plan.require_among(_DEVICES, "path", wanted, present)
    for path in wanted:
        number = character_device(path) or character_device(_DCAP_NAMES.get(path, ""))
        if number is None:
            continue
        device = {"type": "c", "major": number[0], "minor": number[1]}
        if path not in present:
            plan.append(_DEVICES, {"path": path, **device, "fileMode": 0o666, "uid": 0, "gid": 0})
        plan.append(_DEVICE_RULES, {"allow": True, **device, "access": "rw"})


def _plan_seccomp(plan: ConfigPlan, linux: Mapping[str, Any]) -> None:
    action = object_of(linux, "seccomp").get("defaultAction")
    plan.require_value((*_SECCOMP, "defaultAction"), action)
    if action not in (None, "SCMP_ACT_ALLOW"):
        plan.append((*_SECCOMP, "syscalls"), DIRECT_MODE_RULE)


def character_device(path: str) -> tuple[int, int] | None:
    """Return the numbers of a character device of this machine; None if there is none."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return (os.major(status.st_rdev), os.minor(status.st_rdev)) if stat.S_ISCHR(status.st_mode) else None


def strings_of(process: Mapping[str, Any], name: str) -> list[str]:
    """Return a member of ``process`` that is a list of strings. Raises InvalidImageError otherwise."""
    value = process.get(name) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidImageError(f"config.json: process.{name} is not a list of strings")
    return value


def object_of(parent: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a member; an empty object if there is none. Raises InvalidImageError if it is something else."""
    value = parent.get(name) or {}
    if not isinstance(value, dict):
        raise InvalidImageError(f"config.json: {name} is not an object")
    return value


def objects_of(parent: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a member that is a list of objects. Raises InvalidImageError if it is something else."""
    value = parent.get(name) or []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InvalidImageError(f"config.json: {name} is not a list of objects")
    return value
