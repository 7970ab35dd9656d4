"""The user's part of the manifest: the table ``[gramine]`` of the configuration file.

It is merged into the manifest that the image gives: tables key by key, mounts and ioctls behind those that
are there, all else in place of it. What other options of a build decide may stand in it with the same value
only, so that nobody can open by a key what the policy closes.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from enclavize.errors import UsageError
from enclavize.libos.gramine.schema import check

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DECIDED = {
    "loader.entrypoint": "it is the LibOS of the toolchain",
    "loader.argv": "arguments are those of the image, or the host's with --allow-args",
    "loader.argv_src_file": "arguments are those of the image, or the host's with --allow-args",
    "loader.insecure__use_cmdline_argv": "give --allow-args",
    "loader.env_src_file": "variables are those of the image, and those of loader.env",
    "loader.insecure__use_host_env": "give --allow-env NAME for each variable",
    "loader.uid": "set USER in the image",
    "loader.gid": "set USER in the image",
    "libos.entrypoint": "set ENTRYPOINT in the image",
    "fs.root": "the root is that of the image",
    "fs.start_dir": "set WORKDIR in the image",
    "sgx.allowed_files": "give --volume PATH",
    "sgx.enclave_size": "give --set memory=SIZE",
    "sgx.max_threads": "give --set threads=COUNT",
    "sgx.debug": "give --debug, or a key for a production image",
    "sgx.isvprodid": "give --isvprodid",
    "sgx.isvsvn": "give --isvsvn",
}
"""Keys that options of the build decide, with what to do instead."""

JOINED_VARIABLES = ("LD_LIBRARY_PATH", "LD_PRELOAD", "PATH")
"""Lists of paths: the image's stand behind the user's, as in images of Gramine Shielded Containers."""

_APPENDED = frozenset({"fs.mounts", "sys.allowed_ioctls", "sys.debug__mock_syscalls"})
_HOST_FOLDERS = ("/proc", "/sys", "/dev")
_MISSING = object()


def merge(manifest: Mapping[str, Any], table: Mapping[str, Any], *, debuggable: bool) -> dict[str, Any]:
    """Return the manifest with the user's table. Raises UsageError for what contradicts the build."""
    check(dict(table))
    for key, hint in _DECIDED.items():
        wanted, made = _get(table, key), _get(manifest, key)
        if wanted is not _MISSING and wanted != made:
            has = "has no such key" if made is _MISSING else f"has {_short(made)}"
            raise UsageError(
                f"[gramine] {key} = {_short(wanted)} contradicts the build, which {has}", hint=hint
            )
    for name, value in (_get(table, "loader.env", {})).items():
        if isinstance(value, dict) and "passthrough" in value:
            raise UsageError(
                f"[gramine] loader.env.{name} lets the host set a variable", hint=f"give --allow-env {name}"
            )
    if not debuggable:
        _refuse_for_production(table)
    _check_mounts(_get(table, "fs.mounts", []))
    return _merged(manifest, table, "")


def joined_variables(environment: Mapping[str, str], table: Mapping[str, Any]) -> dict[str, str]:
    """Return the image's variables with the user's paths before its own. Raises UsageError."""
    joined = dict(environment)
    for name, value in _variables(table):
        joined[name] = f"{value}:{joined[name]}" if joined.get(name) else value
    return joined


def stated_variables(table: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables of the table that have a value."""
    found = {}
    for name, value in _get(table, "loader.env", {}).items():
        text = value.get("value") if isinstance(value, dict) else value
        if isinstance(text, str):
            found[name] = text
    return found


def without_joined(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the table without the variables that ``joined_variables`` has taken from it."""
    names = {name for name, _ in _variables(table)}
    if not names:
        return dict(table)
    loader = table["loader"]
    rest = {name: value for name, value in loader["env"].items() if name not in names}
    return {**table, "loader": {**loader, "env": rest}}


def _variables(table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in JOINED_VARIABLES:
        value = _get(table, f"loader.env.{name}", None)
        if isinstance(value, dict):
            value = value.get("value")
        if isinstance(value, str):
            yield name, value


def _refuse_for_production(table: Mapping[str, Any]) -> None:
    if _get(table, "sgx.file_check_policy") == "allow_all_but_log":
        raise UsageError(
            '[gramine] sgx.file_check_policy = "allow_all_but_log" lets the host change all files',
            hint="give --debug to try it; name unprotected folders with --volume PATH",
        )
    if _get(table, "sgx.profile.enable", "none") != "none":
        raise UsageError(
            "[gramine] sgx.profile: Gramine's loader profiles debug enclaves alone, and starts no other",
            hint="give --debug, or leave it out",
        )
    if _get(table, "fs.insecure__keys", None):
        raise UsageError(
            "[gramine] fs.insecure__keys puts keys where everybody can read them",
            hint="use the sealing keys _sgx_mrenclave and _sgx_mrsigner, or give --debug to try it",
        )


def _check_mounts(mounts: list[dict[str, Any]]) -> None:
    for number, mount in enumerate(mounts):
        where = f"[gramine] fs.mounts[{number}]"
        path, uri = mount.get("path", ""), mount.get("uri", "")
        if not path.startswith("/") or path == "/":
            raise UsageError(f"{where}: its path must be absolute, and not the root")
        if not uri and mount.get("type") != "tmpfs":
            raise UsageError(f"{where}: it has no uri")
        host = uri.removeprefix("file:")
        if host != uri and any(host == folder or host.startswith(f"{folder}/") for folder in _HOST_FOLDERS):
            raise UsageError(f"{where}: {uri} is the host's; Gramine has {host} of its own")


def _get(table: Mapping[str, Any], path: str, default: Any = _MISSING) -> Any:
    value: Any = table
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            return default
        value = value[key]
    return value


def _merged(base: Mapping[str, Any], table: Mapping[str, Any], where: str) -> dict[str, Any]:
    merged = dict(base)
    for key, value in table.items():
        path = f"{where}.{key}" if where else key
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merged(merged[key], value, path)
        elif path in _APPENDED:
            merged[key] = [*merged.get(key, []), *deepcopy(value)]
        else:
            merged[key] = deepcopy(value)
    return merged


def _short(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
