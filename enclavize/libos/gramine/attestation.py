"""RA-TLS and secret provisioning: libraries of Gramine that are in an image when they are asked for.

``--ra-tls`` lists ``libra_tls_attest.so``, which programs load themselves. ``--secret-provisioning URL``
makes ``libsecret_prov_attest.so`` a preload, which fetches secrets before the program starts. Source: Gramine
1.9, documentation "Attestation and Secret Provisioning", tools/sgx/ra-tls/secret_prov_attest.c.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from enclavize.errors import UsageError
from enclavize.libos.gramine.layout import RUNTIME, absolute

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from enclavize.libos.gramine.program import Libc
    from enclavize.rootfs.tree import Rootfs

RA_TLS = "ra-tls"
PROVISIONING = "secret-provisioning"

_RA_TLS_LIBRARY = "libra_tls_attest.so"
_PROVISIONING_LIBRARY = "libsecret_prov_attest.so"
LIBRARIES = (_RA_TLS_LIBRARY, _PROVISIONING_LIBRARY)
"""In ``runtime/LIBC`` of a toolchain. mbed TLS is linked into them."""

PRELOAD = "LD_PRELOAD"
CA_CHAIN = "SECRET_PROVISION_CA_CHAIN_PATH"
_SEALING_KEYS = ("_sgx_mrenclave", "_sgx_mrsigner")
_SERVER = re.compile(r"(?:https://)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):(\d{1,5})/?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Attestation:
    """``libraries`` are names; ``variables`` are the program's; ``remote``: the enclave makes quotes."""

    libraries: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    remote: bool = False


def attestation_of(table: Mapping[str, Any], environment: Mapping[str, str]) -> Attestation:
    """Return what the table ``[gramine]`` asks for, by its own keys or by a preload. Raises UsageError.

    ``environment`` is that of the program, the table's variables included.
    """
    preloads = {word.rpartition("/")[2] for word in preloads_of(environment)}
    wanted = [name for name in LIBRARIES if name in preloads]
    if _flag(table):
        wanted.append(_RA_TLS_LIBRARY)
    servers = _servers(table)
    variables = {}
    if servers:
        wanted.append(_PROVISIONING_LIBRARY)
        variables = _variables(servers, table, environment)
    return Attestation(
        libraries=tuple(sorted({*wanted})),
        variables=variables,
        remote=bool(servers) or _flag(table),
    )


def preloads_of(environment: Mapping[str, str]) -> list[str]:
    """Return the libraries in LD_PRELOAD: spaces and colons separate them (ld.so(8))."""
    return re.findall(r"[^ :]+", environment.get(PRELOAD, ""))


def with_preloads(
    environment: Mapping[str, str], attestation: Attestation, libc: Libc, *, own_libc: bool
) -> dict[str, str]:
    """Return the variables with full names of the preloads that Gramine brings.

    Raises UsageError where the program has a C library (``own_libc``) for which there are none.
    """
    if not attestation.libraries:
        return dict(environment)
    if own_libc:
        raise UsageError(
            f"{', '.join(attestation.libraries)}: made for Gramine's own C library, which this program does "
            "not have: it is static, or the image's is used",
            hint="use a dynamic program, and a toolchain with its C library",
        )
    folder = absolute(f"{RUNTIME}/{libc}")
    names = dict.fromkeys(preloads_of(environment))
    if attestation.variables:
        names = dict.fromkeys((_PROVISIONING_LIBRARY, *names))
    full = dict.fromkeys(f"{folder}/{name}" if name in LIBRARIES else name for name in names)
    preloads = {PRELOAD: ":".join(full)} if full else {}
    return {**environment, **attestation.variables, **preloads}


def provisioned_keys(table: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of keys of encrypted mounts that somebody has to provision."""
    file_system = table.get("fs", {})
    names = [
        mount.get("key_name", "default")
        for mount in file_system.get("mounts", [])
        if mount.get("type") == "encrypted"
    ]
    known = (*_SEALING_KEYS, *file_system.get("insecure__keys", {}))
    return tuple(dict.fromkeys(name for name in names if name not in known))


def _flag(table: Mapping[str, Any]) -> bool:
    value = table.get(RA_TLS, False)
    if not isinstance(value, bool):
        raise UsageError(f"[gramine] {RA_TLS} is neither true nor false")
    return value


def _servers(table: Mapping[str, Any]) -> str:
    """Return the servers as the library wants them: ``HOST:PORT;HOST:PORT``."""
    value = table.get(PROVISIONING, "")
    if not isinstance(value, str):
        raise UsageError(f"[gramine] {PROVISIONING} is not a text")
    found = []
    for word in re.findall(r"[^;, ]+", value):
        match = _SERVER.fullmatch(word)
        if match is None or not 0 < int(match[2]) <= 0xFFFF:
            raise UsageError(
                f"--secret-provisioning {word[:80]!r} is no server",
                hint="give HOST:PORT, or https://HOST:PORT; several with a semicolon between",
            )
        found.append(f"{match[1]}:{match[2]}")
    return ";".join(found)


def _variables(servers: str, table: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, str]:
    own = {"SECRET_PROVISION_CONSTRUCTOR": "1", "SECRET_PROVISION_SERVERS": servers}
    keys = provisioned_keys(table)
    if len(keys) == 1:
        own["SECRET_PROVISION_SET_KEY"] = keys[0]
    if not environment.get(CA_CHAIN):
        raise UsageError(
            f"--secret-provisioning: {CA_CHAIN} is not set, so the server's certificate could not be checked",
            hint=f"add the CA's certificate to the image, and ENV {CA_CHAIN} or [gramine.loader.env]",
        )
    for name, value in own.items():
        if environment.get(name, value) != value and name != "SECRET_PROVISION_SET_KEY":
            raise UsageError(f"--secret-provisioning: {name} is {environment[name][:60]!r} in the image")
    return {name: value for name, value in own.items() if name not in environment}


def missing_preloads(
    rootfs: Rootfs, environment: Mapping[str, str], folders: Iterable[str], own: Iterable[str]
) -> list[str]:
    """Return the preloads that are neither in the image nor among Gramine's ``own``, absolute paths.

    ``folders`` are those where the loader looks for names without a slash.
    """
    preset = environment.get("LD_LIBRARY_PATH", "").split(":")
    searched = [folder for folder in (*preset, *folders) if folder]
    files = set(own)
    names = {path.rpartition("/")[2] for path in files}

    def is_there(name: str) -> bool:
        if "/" in name:
            return name in files or rootfs.find(name) is not None
        return name in names or any(rootfs.find(f"{folder}/{name}") is not None for folder in searched)

    return [name for name in preloads_of(environment) if not is_there(name)]


def with_remote_attestation(table: Mapping[str, Any], attestation: Attestation) -> dict[str, Any]:
    """Return the user's part of the manifest, with quotes where they are needed. Raises UsageError."""
    if not attestation.remote:
        return dict(table)
    sgx = table.get("sgx", {})
    if sgx.get("remote_attestation", "dcap") != "dcap":
        raise UsageError(
            f"[gramine] sgx.remote_attestation = {sgx['remote_attestation']!r}: RA-TLS and secret "
            "provisioning need quotes",
            hint='leave it out, or write "dcap"',
        )
    return {**table, "sgx": {**sgx, "remote_attestation": "dcap"}}
