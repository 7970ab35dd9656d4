"""The container that ``enclavize run`` makes around a TEE image: config.json of the OCI runtime spec.

It is docker's default container with less in it: the enclave brings its own /proc, /sys, /dev and /tmp, so
the runelet gets no capabilities but those for files of volumes, a read-only root, and no network of the host
unless it is asked for.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enclavize.rune.seccomp import SECCOMP_PROFILE
from enclavize.tee.layout import ENTRYPOINT

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.rune.sgx_devices import Device

_NO_SUID_EXEC_DEV = ["nosuid", "noexec", "nodev"]
_SYSTEM_FILES = {
    "destination": "/sys",
    "type": "bind",
    "source": "/sys",
    "options": ["rbind", "rprivate", "ro", *_NO_SUID_EXEC_DEV],
}
_MASKED_PATHS = (
    "/sys/firmware",
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/scsi",
    "/proc/sched_debug", "/proc/timer_list", "/proc/timer_stats",
)  # fmt: skip
_OWN_NETWORK = {"net.ipv4.ip_unprivileged_port_start": "0"}
"""As docker has it: ports below 1024 take no privileges where they are nobody else's."""
_READ_ONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True, kw_only=True)
class BindMount:
    """A file or folder of the host, seen at ``destination`` in the container."""

    source: Path
    destination: str
    read_only: bool


@dataclass(frozen=True, kw_only=True)
class Container:
    """What the caller chooses. ``rootless``: the uid and gid that become root in a user namespace; then
    ``user``, uid and gid in the container, is root.

    ``system_files``: the host's /sys is there to be read, for Gramine's direct mode.
    """

    name: str
    rootfs: Path
    command: tuple[str, ...] = (ENTRYPOINT,)
    arguments: tuple[str, ...] = ()
    working_directory: str = "/"
    environment: tuple[str, ...] = ()
    volumes: tuple[BindMount, ...] = ()
    empty_volumes: tuple[str, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    terminal: bool = False
    host_network: bool = False
    rootless: tuple[int, int] | None = None
    user: tuple[int, int] = (0, 0)
    system_files: bool = False
    capabilities: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()


def container_spec(container: Container) -> dict[str, Any]:
    """Return the configuration, as rune expects it from an engine."""
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": container.terminal,
            "user": {"uid": container.user[0], "gid": container.user[1]},
            "args": [*container.command, *container.arguments],
            "env": list(container.environment),
            "cwd": container.working_directory,
            "capabilities": _capabilities(container),
            "noNewPrivileges": True,
            "rlimits": [_open_files()],
        },
        "root": {"path": str(container.rootfs), "readonly": True},
        "hostname": container.name[:64],
        "mounts": [
            *_system_mounts(),
            *([_SYSTEM_FILES] if container.system_files else ()),
            *map(_empty_volume, container.empty_volumes),
            *map(_bind_mount, container.volumes),
        ],
        "annotations": dict(container.annotations),
        "linux": _linux(container),
    }


def _open_files() -> dict[str, Any]:
    """Allow as many open files as this process may have: Occlum opens one for each file that is used."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return {"type": "RLIMIT_NOFILE", "soft": most, "hard": most}


def _capabilities(container: Container) -> dict[str, list[str]]:
    """As with docker, a user who is not root has them in the bounding set alone."""
    bounding = list(container.capabilities)
    effective = bounding if container.user[0] == 0 else []
    given = {"bounding": bounding, "effective": effective, "permitted": effective}
    return {**given, "inheritable": [], "ambient": []}


def _system_mounts() -> list[dict[str, Any]]:
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": _NO_SUID_EXEC_DEV},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        },
    ]


def _empty_volume(path: str) -> dict[str, Any]:
    return {
        "destination": path,
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "nodev", "mode=755"],
    }


def _bind_mount(volume: BindMount) -> dict[str, Any]:
    return {
        "destination": volume.destination,
        "type": "bind",
        "source": str(volume.source),
        "options": ["rbind", "rprivate", "nosuid", "nodev", "ro" if volume.read_only else "rw"],
    }


def _number(device: Device) -> dict[str, Any]:
    return {"type": "c", "major": device.major, "minor": device.minor}


def _linux(container: Container) -> dict[str, Any]:
    namespaces = ["pid", "mount", "ipc", "uts"]
    sysctl: dict[str, str] = {}
    if not container.host_network:
        namespaces.append("network")
        sysctl = _OWN_NETWORK
    linux: dict[str, Any] = {
        "maskedPaths": list(_MASKED_PATHS),
        "readonlyPaths": list(_READ_ONLY_PATHS),
        "seccomp": SECCOMP_PROFILE,
        "sysctl": sysctl,
    }
    if container.devices:
        linux["devices"] = [
            {"path": device.path, **_number(device), "fileMode": 0o666, "uid": 0, "gid": 0}
            for device in container.devices
        ]
    if container.rootless is None:
        linux["cgroupsPath"] = f"/enclavize.{container.name}"
        allowed = [{"allow": True, **_number(device), "access": "rw"} for device in container.devices]
        linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}, *allowed]}
    else:
        uid, gid = container.rootless
        namespaces.append("user")
        linux["uidMappings"] = [{"containerID": 0, "hostID": uid, "size": 1}]
        linux["gidMappings"] = [{"containerID": 0, "hostID": gid, "size": 1}]
    return {**linux, "namespaces": [{"type": kind} for kind in namespaces]}
