"""Gramine's manifest schema: the keys of a manifest and what their values may be.

Source: Gramine 1.9, python/graminelibos/manifest_check.py and the documentation "Manifest syntax". A type
stands for its values, a frozenset for one of its members, a list for a list of such values, a dictionary for
a table with at most these keys (ANY_NAME: any), a tuple for one of several.
"""

from __future__ import annotations

from typing import Any, Final

from enclavize.errors import UsageError

ANY_NAME: Final = "*"

_SIZE = str
_MOUNT: dict[str, Any] = {
    "type": frozenset({"chroot", "encrypted", "tmpfs", "untrusted_shm"}),
    "path": str,
    "uri": str,
    "key_name": str,
    "enable_recovery": bool,
}
_FEATURE = frozenset({"unspecified", "disabled", "required"})
_RESTRICTED_FEATURE = frozenset({"disabled", "required"})

SCHEMA: dict[str, Any] = {
    "fs": {
        "mounts": [_MOUNT],
        "root": {key: value for key, value in _MOUNT.items() if key != "path"},
        "start_dir": str,
        "insecure__keys": {ANY_NAME: str},
    },
    "libos": {"entrypoint": str, "check_invalid_pointers": bool},
    "loader": {
        "entrypoint": {"uri": str, "sha256": str},
        "argv": [str],
        "argv_src_file": str,
        "env": {ANY_NAME: (str, {"value": str}, {"passthrough": frozenset({True})})},
        "env_src_file": str,
        "gid": int,
        "uid": int,
        "insecure__use_cmdline_argv": bool,
        "insecure__use_host_env": bool,
        "insecure__disable_aslr": bool,
        "log_file": str,
        "log_level": frozenset({"none", "error", "warning", "debug", "trace", "all"}),
    },
    "sgx": {
        "allowed_files": [str],
        "cpu_features": {
            "avx": _FEATURE,
            "avx512": _FEATURE,
            "amx": _FEATURE,
            "mpx": _RESTRICTED_FEATURE,
            "pkru": _RESTRICTED_FEATURE,
        },
        "debug": bool,
        "edmm_enable": bool,
        "enable_stats": bool,
        "enclave_size": _SIZE,
        "file_check_policy": frozenset({"strict", "allow_all_but_log"}),
        "insecure__allow_memfaults_without_exinfo": bool,
        "insecure__rpc_thread_num": int,
        "isvprodid": int,
        "isvsvn": int,
        "max_threads": int,
        "preheat_enclave": bool,
        "profile": {
            "enable": frozenset({"none", "main", "all"}),
            "mode": frozenset({"aex", "ocall_inner", "ocall_outer"}),
            "with_stack": bool,
            "frequency": int,
        },
        "remote_attestation": frozenset({"none", "dcap"}),
        "seal_key": {"flags_mask": str, "xfrm_mask": str, "misc_mask": str},
        "trusted_files": [(str, {"uri": str, "sha256": str})],
        "use_exinfo": bool,
        "vtune_profile": bool,
    },
    "sys": {
        "allowed_ioctls": [{"request_code": int, "struct": str}],
        "brk": {"max_size": _SIZE},
        "debug__mock_syscalls": [{"name": str, "return": int}],
        "disallow_subprocesses": bool,
        "enable_extra_runtime_domain_names_conf": bool,
        "enable_sigterm_injection": bool,
        "experimental__enable_flock": bool,
        "fds": {"limit": int},
        "insecure__allow_eventfd": bool,
        "ioctl_structs": {ANY_NAME: object},
        "stack": {"size": _SIZE},
    },
}


def check(value: Any, schema: Any = None, where: str = "") -> None:
    """Compare a manifest, or a part of one, with the schema. Raises UsageError that names the key."""
    match SCHEMA if schema is None else schema:
        case dict() as table:
            _require(isinstance(value, dict), where, "is a table")
            for key, item in value.items():
                if key not in table and ANY_NAME not in table:
                    raise UsageError(f"[gramine] {_join(where, key)} is unknown to Gramine")
                check(item, table.get(key, table.get(ANY_NAME)), _join(where, key))
        case list() as items:
            _require(isinstance(value, list), where, "is a list")
            for number, item in enumerate(value):
                check(item, items[0], f"{where}[{number}]")
        case tuple() as choices:
            _require(any(_fits(value, choice) for choice in choices), where, "has another form")
        case frozenset() as members:
            allowed = ", ".join(sorted(str(member) for member in members))
            _require(_is_scalar(value) and value in members, where, f"is one of {allowed}")
        case type() as kind:
            _require(kind is object or type(value) is kind, where, f"is of the type {kind.__name__}")
        case _:
            raise AssertionError(where)


def _fits(value: Any, schema: Any) -> bool:
    try:
        check(value, schema)
    except UsageError:
        return False
    return True


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | bool)


def _require(condition: bool, where: str, expectation: str) -> None:
    if not condition:
        raise UsageError(f"[gramine] {where}: the value is wrong; in Gramine's manifests it {expectation}")


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
