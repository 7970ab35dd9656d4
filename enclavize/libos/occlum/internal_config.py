"""What is made of Occlum.json: the configuration that the LibOS reads, and that of the enclave's signer.

Source: tools/gen_internal_conf/src/main.rs of occlum/occlum. The text that is measured has the members in
the order of Occlum's own tool, so that the same input gives the same MAC.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from enclavize.libos.occlum.configuration import root_image_layer
from enclavize.libos.occlum.sefs.keys import notation
from enclavize.libos.occlum.versions import Change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enclavize.libos.occlum.configuration import Configuration
    from enclavize.libos.occlum.versions import Release
    from enclavize.sgx.enclave_file import EnclaveConfig

SYSTEM_CONFIGURATION = ".Occlum_sys.json"
"""What the LibOS starts with; all of the configuration from 0.29.6 on."""

USER_CONFIGURATION = "Occlum.json"
"""Up to 0.29.5: what it goes on with when init has mounted the root file system."""

_USER_REGION_EXTRA = 1 << 30
"""Bytes of the enclave that the SDK needs beside what EDMM may add."""

_INIT_ENTRY_POINTS = ["/bin"]
_PROC_AND_DEV = ({"target": "/proc", "type": "procfs"}, {"target": "/dev", "type": "devfs"})
_FEATURES = ("amx", "pkru", "io_uring", "enable_edmm", "enable_posix_shm")
_FLAGS = frozenset({"enable_edmm", "enable_posix_shm"})


def enclave_elements(configuration: Configuration) -> dict[str, int]:
    """Return the elements of Enclave.xml, in order."""
    release, limits, edmm = configuration.release, configuration.limits, configuration.edmm
    metadata = configuration.document["metadata"]
    feature = configuration.document.get("feature", metadata)
    kss = metadata.get("enable_kss", False)
    reserved = limits.user_space_init if edmm else limits.user_space_max
    elements: list[tuple[str, int, bool]] = [
        ("ProdID", metadata["product_id"], True),
        ("ISVSVN", metadata["version_number"], True),
        ("StackMaxSize", limits.kernel_stack, True),
        ("StackMinSize", limits.kernel_stack, True),
        ("HeapInitSize", limits.kernel_heap_init, release.has(Change.DYNAMIC_KERNEL_HEAP)),
        ("HeapMaxSize", limits.kernel_heap_max, True),
        ("HeapMinSize", limits.kernel_heap_init, True),
        ("TCSNum", limits.threads_init, True),
        ("TCSMaxNum", limits.threads_max, release.has(Change.DYNAMIC_KERNEL_HEAP)),
        ("TCSMinPool", limits.threads_init, release.has(Change.DYNAMIC_KERNEL_HEAP)),
        ("TCSPolicy", 0 if release.has(Change.THREADS_UNBOUND) else 1, True),
        ("DisableDebug", 0 if metadata["debuggable"] else 1, True),
        *(
            (name, value, True)
            for name, value in zip(("MiscSelect", "MiscMask"), _misc(configuration), strict=True)
        ),
        ("ReservedMemMaxSize", reserved, True),
        ("ReservedMemMinSize", reserved, True),
        ("ReservedMemInitSize", reserved, True),
        ("ReservedMemExecutable", 1, True),
        ("UserRegionSize", _user_region(configuration), edmm),
        ("EnableKSS", int(kss), release.has(Change.KSS)),
        ("ISVEXTPRODID_H", _kss_id(metadata, "ext_prod_id", "high"), release.has(Change.KSS)),
        ("ISVEXTPRODID_L", _kss_id(metadata, "ext_prod_id", "low"), release.has(Change.KSS)),
        ("ISVFAMILYID_H", _kss_id(metadata, "family_id", "high"), release.has(Change.KSS)),
        ("ISVFAMILYID_L", _kss_id(metadata, "family_id", "low"), release.has(Change.KSS)),
        ("PKRU", feature.get("pkru", 0), release.has(Change.PKRU)),
        ("AMX", feature.get("amx", 0), release.has(Change.EDMM)),
    ]
    return {name: value for name, value, present in elements if present}


def enclave_xml(configuration: Configuration) -> bytes:
    """Return Enclave.xml."""
    lines = (f"  <{name}>{value}</{name}>\n" for name, value in enclave_elements(configuration).items())
    return f"<EnclaveConfiguration>\n{''.join(lines)}</EnclaveConfiguration>\n".encode()


def enclave_config(configuration: Configuration) -> EnclaveConfig:
    """Return the same for the signer. Raises UsageError for values that no enclave can have."""
    from enclavize.sgx.enclave_file import parse_config

    return parse_config(enclave_xml(configuration))


def system_configuration(configuration: Configuration, init_mac: bytes, root_mac: bytes | None) -> bytes:
    """Return the text of ``.Occlum_sys.json``; before 0.29.6 ``root_mac`` is not in it."""
    if not configuration.release.has(Change.ONE_CONFIGURATION):
        mounts = [_init_root(init_mac), *_PROC_AND_DEV]
        return _two_part(configuration, _INIT_ENTRY_POINTS, mounts)
    assert root_mac is not None
    document = configuration.document
    members = {
        "resource_limits": _internal_limits(configuration),
        "process": _process(document),
        "env": _sorted(document["env"]),
        "app": _sorted(
            [
                {
                    "stage": "init",
                    "entry_points": _INIT_ENTRY_POINTS,
                    "mount": [_init_root(init_mac), *_PROC_AND_DEV],
                },
                {
                    "stage": "app",
                    "entry_points": document["entry_points"],
                    "mount": [*_PROC_AND_DEV, *_user_mounts(document, root_mac)],
                },
            ]
        ),
    }
    if configuration.release.has(Change.FEATURE):
        metadata = document["metadata"]
        members |= {"disable_log": metadata.get("disable_log", not metadata["debuggable"])}
        members |= {"feature": _feature(configuration)}
        order = ("resource_limits", "process", "env", "disable_log", "app", "feature")
        members = {name: members[name] for name in order}
    return _text(members)


def user_configuration(configuration: Configuration, root_mac: bytes) -> bytes:
    """Return the text of ``build/Occlum.json``, for releases before 0.29.6."""
    document = configuration.document
    return _two_part(configuration, document["entry_points"], _user_mounts(document, root_mac))


def image_config(release: Release, *, encrypted: bool, configuration_mac: bytes | None, key: str) -> bytes:
    """Return ``etc/image_config.json`` of the init file system: what init needs to mount the root.

    ``configuration_mac`` is that of the user's configuration, before 0.29.6. ``key`` is the image key in
    Occlum's notation, which stands here in 0.21 alone; "" if it is not to be built in.
    """
    members: dict[str, str] = {}
    if release.has(Change.IMAGE_TYPE):
        members["image_type"] = "encrypted" if encrypted else "integrity-only"
    if configuration_mac is not None:
        members["occlum_json_mac"] = notation(configuration_mac)
    if key and not release.has(Change.IMAGE_TYPE):
        members["key"] = key
    return _text(members) + b"\n"


def _misc(configuration: Configuration) -> tuple[int, int]:
    """Return MISCSELECT and its mask: bit 0 is what EDMM needs."""
    release = configuration.release
    if release.has(Change.EDMM):
        return (1, 0xFFFF_FFFF) if configuration.edmm else (0, 0)
    return (1, 0) if release.has(Change.DYNAMIC_KERNEL_HEAP) else (0, 0xFFFF_FFFF)


def _user_region(configuration: Configuration) -> int:
    limits = configuration.limits
    extra = 0 if limits.user_space_init == limits.user_space_max else _USER_REGION_EXTRA
    return limits.user_space_max + extra


def _kss_id(metadata: Mapping[str, Any], name: str, half: str) -> int:
    return int(metadata[name][half], 16) if metadata.get("enable_kss", False) else 0


def _internal_limits(configuration: Configuration) -> dict[str, str]:
    if not configuration.release.has(Change.EDMM):
        return {"user_space_size": configuration.document["resource_limits"]["user_space_size"]}
    limits = configuration.limits
    return {
        "user_space_init_size": f"{limits.user_space_init}B",
        "user_space_max_size": f"{limits.user_space_max}B",
    }


def _two_part(configuration: Configuration, entry_points: list[str], mounts: list[dict[str, Any]]) -> bytes:
    document = configuration.document
    return _text(
        {
            "resource_limits": _internal_limits(configuration),
            "process": _process(document),
            "entry_points": entry_points,
            "env": _sorted(document["env"]),
            "mount": _sorted(mounts),
        }
    )


def _process(document: Mapping[str, Any]) -> dict[str, str]:
    names = ("default_stack_size", "default_heap_size", "default_mmap_size")
    return {name: document["process"][name] for name in names}


def _feature(configuration: Configuration) -> dict[str, Any]:
    given = configuration.document["feature"]
    left_out = set() if configuration.release.has(Change.THREADS_UNBOUND) else {"io_uring"}
    return {
        name: given.get(name, False if name in _FLAGS else 0) for name in _FEATURES if name not in left_out
    }


def _init_root(mac: bytes) -> dict[str, Any]:
    image = {"target": "/", "type": "sefs", "source": "./build/initfs/__ROOT"}
    written = {"target": "/", "type": "sefs", "source": "./run/initfs/__ROOT"}
    return {
        "target": "/",
        "type": "unionfs",
        "options": {"layers": [image | {"options": {"MAC": notation(mac)}}, written]},
    }


def _user_mounts(document: Mapping[str, Any], root_mac: bytes) -> list[dict[str, Any]]:
    mounts = [_without_defaults(mount) for mount in copy.deepcopy(document["mount"])]
    root_image_layer(mounts)["options"]["MAC"] = notation(root_mac)
    return mounts


def _without_defaults(mount: dict[str, Any]) -> dict[str, Any]:
    """Leave out options that have their default values, as Occlum's tool does."""
    options = {name: value for name, value in mount.get("options", {}).items() if value is not False}
    if "layers" in options:
        options["layers"] = [_without_defaults(layer) for layer in options["layers"]]
    rest = {name: value for name, value in mount.items() if name != "options"}
    return rest | ({"options": options} if options else {})


def _sorted(value: object) -> Any:
    """Sort the members of objects: those that Occlum's tool holds as free JSON come out sorted."""
    return json.loads(json.dumps(value, sort_keys=True))


def _text(members: object) -> bytes:
    return json.dumps(members, indent=2, ensure_ascii=False).encode()
