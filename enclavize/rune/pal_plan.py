"""What rune changes in config.json of a TEE container whose PAL is somebody else's (docs/pal.md).

As spec.py does it, but that loader, libraries and runelet are on ``/.rune``, and that the LibOS writes below
``/.enclave``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError, InvalidImageError
from enclavize.rune.arguments import located_program
from enclavize.rune.inclavare import ANNOTATION_PREFIX, CARRIER, INSTANCES, VARIABLES
from enclavize.rune.mode import Mode
from enclavize.rune.mounts import check_mounts
from enclavize.rune.pal_folder import RUN
from enclavize.rune.pal_process import (
    ACTED_ON,
    KEPT_PREFIX,
    OF_PAL,
    PAL_ROOT,
    RELEASE,
    is_acted_on,
    log_level_of,
    program_of,
    runelet_command,
)
from enclavize.rune.plan import (
    BUNDLE,
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
from enclavize.rune.spec import (
    MARK,
    OWN_PREFIX,
    aesm_mounts,
    object_of,
    objects_of,
    own_mount,
    plan_devices,
    strings_of,
)
from enclavize.rune.written import written_mounts
from enclavize.tee.layout import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from enclavize.rune.converted import ConvertedImage
    from enclavize.rune.mounts import Look
    from enclavize.rune.pal_list import PalList
    from enclavize.rune.settings import Settings

RUN_FOLDER = "rune-pal"
"""The container's own folder, in its bundle: native/rune/pal_run.c makes it."""

_EMPTY_FILE = "rune-pal-empty"
"""In the bundle, too: in the place of files of /etc that no engine has made."""

_ENGINES_FILES = ("hostname", "hosts", "resolv.conf")
"""Occlum's PAL ends without a message where one is missing; an empty one is fine."""

_ARGS, _ENV = ("process", "args"), ("process", "env")
_WRITTEN = ("instance/build", "instance/run")
"""Occlum opens the files of its images for reading and writing, and keeps what changes in ``run``."""
_INSTANCE_ARGS = VARIABLES["ENCLAVE_RUNTIME_ARGS"]
_SCRATCH = ("instance/run/mount/__ROOT", "instance/run/initfs/__ROOT")


@dataclass(frozen=True, kw_only=True)
class PalContainer:
    """Where a container and its PAL are; all paths are absolute. ``folder`` has the copies of the files.

    ``shared_tree``: other containers have the same root file system, so what is written is not kept.
    ``converted``: the image is an ordinary one, and other containers have the same ``.enclave``.
    """

    rootfs: Path
    bundle: Path
    folder: Path
    pal: PalList
    shared_tree: bool = False
    converted: ConvertedImage | None = None


def pal_plan(
    spec: Mapping[str, Any],
    container: PalContainer,
    *,
    hook: Path,
    mode: Mode,
    settings: Settings,
    devices: Iterable[str],
) -> tuple[ConfigPlan, list[Look] | None]:
    """Return what becomes of a configuration, as ``tee_plan`` does. Raises EnclavizeError."""
    plan = ConfigPlan(has_folder=True)
    process = object_of(spec, "process")
    level = _plan_environment(plan, spec, process, container, settings)
    arguments = strings_of(process, "args")
    head, program = program_of(arguments)
    own = runelet_command(container.pal, level)
    if container.converted:
        program = located_program(program, container.converted.argv, container.converted.entrypoint)
        plan.require_head(_ARGS, arguments, more=False)
        plan.replace_head(_ARGS, len(arguments), [*own, *program])
    else:
        plan.require_head(_ARGS, arguments[: head + 1], more=True)
        plan.replace_head(_ARGS, head, own)
    looks = _plan_mounts(plan, spec, container, mode)
    plan.put(("annotations",), MARK, "1")
    objects_of(object_of(spec, "hooks"), "createContainer")
    command = [hook.name, ROOTFS, DEVICE, ORIGIN, "--pal", str(container.folder)]
    plan.append(("hooks", "createContainer"), {"path": str(hook), "args": command})
    if mode is Mode.HARDWARE:
        plan_devices(plan, object_of(spec, "linux"), devices)
    return plan, looks


def _plan_environment(
    plan: ConfigPlan,
    spec: Mapping[str, Any],
    process: Mapping[str, Any],
    container: PalContainer,
    settings: Settings,
) -> str:
    """Keep variables from the loader that it would act on; return the log level for the PAL."""
    converted = container.converted
    annotations = object_of(spec, "annotations")
    variables = strings_of(process, "env")
    environment = {name: value for name, _, value in (item.partition("=") for item in variables)}
    asked = {
        annotation: environment.get(variable) or annotations.get(annotation, "")
        for variable, annotation in VARIABLES.items()
    }
    if not all(isinstance(value, str) for value in asked.values()):
        raise InvalidImageError(f"config.json: an annotation {ANNOTATION_PREFIX}* is no text")
    consumed = [f"{name}=" for name in VARIABLES]
    if converted:  # a TEE image has these from its build, and the folder of its instance
        consumed += [CARRIER + "=", OF_PAL]
        words = asked[_INSTANCE_ARGS].replace(",", " ").split()
        asked[_INSTANCE_ARGS] = " ".join(word for word in words if word not in INSTANCES)
    deciding = [*consumed, KEPT_PREFIX, *ACTED_ON]
    plan.require_strings(_ENV, deciding, [item for item in variables if item.startswith(tuple(deciding))])
    of_enclave = {key: value for key, value in annotations.items() if key.startswith(ANNOTATION_PREFIX)}
    plan.require_keys(("annotations",), [ANNOTATION_PREFIX], of_enclave)
    kept = [item for item in variables if item.startswith(KEPT_PREFIX)]
    renamed = [item for item in variables if is_acted_on(item)]
    gone = [OWN_PREFIX, *consumed, *(f"{item.partition('=')[0]}=" for item in renamed)]
    added = [RELEASE] if converted and not converted.debug else []
    plan.replace_strings(_ENV, gone, [*kept, *(f"{KEPT_PREFIX}{item}" for item in renamed), *added])
    cwd = process.get("cwd")
    plan.require_value(("process", "cwd"), cwd)
    return log_level_of(asked, container.pal, settings.log_level, cwd if isinstance(cwd, str) else "/")


def _plan_mounts(
    plan: ConfigPlan, spec: Mapping[str, Any], container: PalContainer, mode: Mode
) -> list[Look] | None:
    mounts = objects_of(spec, "mounts")
    empty = _empty_files(plan, container, mounts)
    own, filled = (
        [
            *(own_mount(f"/etc/{name}", f"{bundle}/{_EMPTY_FILE}") for name in empty),
            *_own_mounts(container, bundle, enclave),
        ]
        for bundle, enclave in ((str(container.bundle), str(_enclave(container))), (BUNDLE, ENCLAVE))
    )
    looks = check_mounts(mounts, container.rootfs, container.bundle, own=own, reserved=(ROOT, PAL_ROOT))
    _check_mount_point(plan, container.rootfs)
    plan.require_elements(("mounts",), ("destination", "type", "options"), mounts)
    aesm = aesm_mounts(plan, mounts) if mode is Mode.HARDWARE else []
    plan.append(("mounts",), *aesm, *filled)
    return None if any(mount in own for mount in mounts) else looks


def _empty_files(plan: ConfigPlan, container: PalContainer, mounts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of those that nobody has made."""
    own = str(container.bundle / _EMPTY_FILE)
    there = {mount.get("destination") for mount in mounts if mount.get("source") != own}
    missing = []
    for name in _ENGINES_FILES:
        path = f"etc/{name}"
        if there & {"/etc", f"/{path}"}:
            continue
        is_missing = kind_of_place(container.rootfs / path, follow=False) == NONE
        plan.require_place("rootfs", path, [NONE] if is_missing else [EMPTY, FOLDER, OTHER])
        missing += [name] if is_missing else []
    return missing


def _enclave(container: PalContainer) -> Path:
    return (container.converted.tree if container.converted else container.rootfs) / ROOT


def _own_mounts(container: PalContainer, bundle: str, enclave: str) -> Iterator[dict[str, Any]]:
    yield own_mount(f"/{ROOT}", enclave)
    if container.converted:
        yield from written_mounts(container.converted.tree, container.bundle, _WRITTEN)
    else:
        for path in _WRITTEN:
            yield own_mount(f"/{ROOT}/{path}", f"{enclave}/{path}", "rw")
    if container.shared_tree:
        for path in _SCRATCH:
            options = ["nosuid", "nodev", "noexec", "mode=1777"]
            yield {
                "destination": f"/{ROOT}/{path}", "type": "tmpfs", "source": "tmpfs", "options": options
            }  # fmt: skip
    yield own_mount(f"/{PAL_ROOT}", str(container.folder))
    yield own_mount(f"/{PAL_ROOT}/{RUN}", f"{bundle}/{RUN_FOLDER}", "rw")


def _check_mount_point(plan: ConfigPlan, rootfs: Path) -> None:
    """A link there would lead the mount, and what is started, elsewhere."""
    free = [NONE, EMPTY]
    if kind_of_place(rootfs / PAL_ROOT, follow=False) not in free:
        raise EnclavizeError(f"/{PAL_ROOT} of the TEE container is not an empty folder, and it is rune's")
    plan.require_place("rootfs", PAL_ROOT, free)
