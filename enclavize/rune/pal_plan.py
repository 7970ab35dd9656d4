"""What rune changes in config.json of a TEE container whose PAL is somebody else's (docs/pal.md).

As spec.py does it, but that loader, libraries and runelet are on ``/.rune``, and that the LibOS writes below
``/.enclave``. Such a plan is for one container: the copies are hashed for each.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError, InvalidImageError
from enclavize.rune.inclavare import ANNOTATION_PREFIX, VARIABLES
from enclavize.rune.mode import Mode
from enclavize.rune.mounts import check_mounts
from enclavize.rune.pal_folder import RUN
from enclavize.rune.pal_process import (
    KEPT_PREFIX,
    PAL_ROOT,
    is_acted_on,
    log_level_of,
    program_of,
    runelet_command,
)
from enclavize.rune.plan import DEVICE, ORIGIN, ROOTFS, ConfigPlan
from enclavize.rune.spec import (
    MARK,
    OWN_PREFIX,
    object_of,
    objects_of,
    own_mount,
    plan_devices,
    strings_of,
)
from enclavize.tee.layout import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from enclavize.rune.pal_list import PalList
    from enclavize.rune.settings import Settings

RUN_FOLDER = "rune-pal"
"""The container's own folder, in its bundle: native/rune/pal_run.h looks for it there."""

STATUS = "status"

EMPTY = "rune-pal-empty"
"""In the bundle, too: in the place of files of /etc that no engine has made."""

_ENGINES_FILES = ("hostname", "hosts", "resolv.conf")
"""Occlum's PAL ends without a message where one is missing; an empty one is fine."""

_ARGS, _ENV = ("process", "args"), ("process", "env")
_WRITTEN = ("instance/build", "instance/run")
"""Occlum opens the files of its images for reading and writing, and keeps what changes in ``run``."""
_SCRATCH = ("instance/run/mount/__ROOT", "instance/run/initfs/__ROOT")
_AESM = Path("/var/run/aesmd")
"""The socket of Intel's architectural enclaves, which Inclavare's rune mounts, too."""


@dataclass(frozen=True, kw_only=True)
class PalContainer:
    """Where a container and its PAL are; all paths are absolute. ``folder`` has the copies of the files.

    ``shared_tree``: other containers have the same root file system, so what is written is not kept.
    """

    rootfs: Path
    bundle: Path
    folder: Path
    pal: PalList
    shared_tree: bool = False


def pal_plan(
    spec: Mapping[str, Any],
    container: PalContainer,
    *,
    hook: Path,
    mode: Mode,
    settings: Settings,
    devices: Iterable[str],
) -> ConfigPlan:
    """Return what becomes of a configuration. Raises EnclavizeError for one that must not run."""
    plan = ConfigPlan()
    process = object_of(spec, "process")
    level = _plan_environment(plan, spec, process, container.pal, settings)
    arguments = strings_of(process, "args")
    head, _ = program_of(arguments)
    plan.require_head(_ARGS, arguments[: head + 1], more=True)
    plan.replace_head(_ARGS, head, runelet_command(container.pal, level))
    _plan_mounts(plan, spec, container, mode)
    plan.put(("annotations",), MARK, "1")
    objects_of(object_of(spec, "hooks"), "createContainer")
    command = [hook.name, ROOTFS, DEVICE, ORIGIN, "--pal", str(container.folder)]
    plan.append(("hooks", "createContainer"), {"path": str(hook), "args": command})
    if mode is Mode.HARDWARE:
        plan_devices(plan, object_of(spec, "linux"), devices)
    return plan


def make_run_folder(bundle: Path, spec: Mapping[str, Any]) -> None:
    """Make the folder in which the runelet says whether the enclave runs. Raises OSError."""
    folder = bundle / RUN_FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    _make_file(folder / STATUS, 0o600)
    _make_file(bundle / EMPTY, 0o444)
    owner = _host_owner(spec)
    for path in (folder, folder / STATUS):
        if os.geteuid() == 0:
            os.chown(path, *owner, follow_symlinks=False)
        elif owner != (os.geteuid(), os.getegid()):
            path.chmod(0o777 if path == folder else 0o666)  # of a subordinate id, which is this user's, too


def _make_file(path: Path, mode: int) -> None:
    """Make an empty file, whatever has its name: the container's user may have put a link there."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode))


def _host_owner(spec: Mapping[str, Any]) -> tuple[int, int]:
    user, linux = object_of(object_of(spec, "process"), "user"), object_of(spec, "linux")
    return (
        _mapped(user.get("uid") or 0, objects_of(linux, "uidMappings")),
        _mapped(user.get("gid") or 0, objects_of(linux, "gidMappings")),
    )


def _mapped(number: object, mappings: list[dict[str, Any]]) -> int:
    if not isinstance(number, int):
        raise InvalidImageError("config.json: process.user is not of the usual form")
    for item in mappings:
        inside, outside, size = (item.get(name, 0) for name in ("containerID", "hostID", "size"))
        if inside <= number < inside + size:
            return int(outside + number - inside)
    return number


def _plan_environment(
    plan: ConfigPlan,
    spec: Mapping[str, Any],
    process: Mapping[str, Any],
    pal: PalList,
    settings: Settings,
) -> str:
    """Keep variables from the loader that it would act on; return the log level for the PAL."""
    annotations = object_of(spec, "annotations")
    variables = strings_of(process, "env")
    environment = {name: value for name, _, value in (item.partition("=") for item in variables)}
    asked = {
        annotation: environment.get(variable) or annotations.get(annotation, "")
        for variable, annotation in VARIABLES.items()
    }
    if not all(isinstance(value, str) for value in asked.values()):
        raise InvalidImageError(f"config.json: an annotation {ANNOTATION_PREFIX}* is no text")
    kept = [item for item in variables if item.startswith(KEPT_PREFIX)]
    renamed = [item for item in variables if "=" in item and is_acted_on(item.partition("=")[0])]
    gone = [OWN_PREFIX, *(f"{name}=" for name in VARIABLES)]
    gone += [f"{item.partition('=')[0]}=" for item in renamed]
    plan.replace_strings(_ENV, gone, [*kept, *(f"{KEPT_PREFIX}{item}" for item in renamed)])
    cwd = process.get("cwd")
    return log_level_of(asked, pal, settings.log_level, cwd if isinstance(cwd, str) else "/")


def _plan_mounts(plan: ConfigPlan, spec: Mapping[str, Any], container: PalContainer, mode: Mode) -> None:
    mounts = objects_of(spec, "mounts")
    own = [*_empty_files(container, mounts), *_own_mounts(container)]
    check_mounts(mounts, container.rootfs, container.bundle, own=own, reserved=(ROOT, PAL_ROOT))
    _check_mount_point(container.rootfs)
    plan.require_elements(("mounts",), ("destination", "type", "source", "options"), mounts)
    if mode is Mode.HARDWARE and _AESM.is_dir():
        there = {mount.get("destination") for mount in mounts}
        if not there & {str(_AESM), "/run/aesmd"}:
            own.insert(0, own_mount(str(_AESM), str(_AESM)))
    plan.append(("mounts",), *own)


def _empty_files(container: PalContainer, mounts: Sequence[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    own = str(container.bundle / EMPTY)
    there = {mount.get("destination") for mount in mounts if mount.get("source") != own}
    for name in _ENGINES_FILES:
        path = f"/etc/{name}"
        if not there & {"/etc", path} and not os.path.lexists(container.rootfs / path[1:]):
            yield own_mount(path, own)


def _own_mounts(container: PalContainer) -> Iterable[dict[str, Any]]:
    enclave = container.rootfs / ROOT
    yield own_mount(f"/{ROOT}", str(enclave))
    for path in _WRITTEN:
        yield own_mount(f"/{ROOT}/{path}", str(enclave / path), "rw")
    if container.shared_tree:
        for path in _SCRATCH:
            options = ["nosuid", "nodev", "noexec", "mode=1777"]
            yield {
                "destination": f"/{ROOT}/{path}", "type": "tmpfs", "source": "tmpfs", "options": options
            }  # fmt: skip
    yield own_mount(f"/{PAL_ROOT}", str(container.folder))
    yield own_mount(f"/{PAL_ROOT}/{RUN}", str(container.bundle / RUN_FOLDER), "rw")


def _check_mount_point(rootfs: Path) -> None:
    """A link there would lead the mount, and what is started, elsewhere."""
    path = rootfs / PAL_ROOT
    try:
        is_free = stat.S_ISDIR(path.lstat().st_mode) and not any(path.iterdir())
    except FileNotFoundError:
        return
    if not is_free:
        raise EnclavizeError(f"/{PAL_ROOT} of the TEE container is not an empty folder, and it is rune's")
