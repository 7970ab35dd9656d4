"""Gramine manifests: defaults, trusted files, and what SIGSTRUCT takes from them.

Source: Gramine 1.9, documentation "Manifest syntax", and python/graminelibos/manifest.py for the defaults and
their order, which matter: the text of the completed manifest is measured. What Gramine's own signer accepts
by mistake is refused.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from enclavize.errors import UsageError
from enclavize.sgx.gramine_enclave import measure_gramine
from enclavize.sgx.measurement import Measurement
from enclavize.sgx.structures import AttributeFlags, Attributes, MiscSelect, Xfrm
from enclavize.toml_file import parse_toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ALL_BITS = 2**64 - 1
_MAX_LINKS = 40

# In the order in which missing ones are appended.
_SGX_DEFAULTS: dict[str, Any] = {
    "trusted_files": [],
    "max_threads": 4,
    "isvprodid": 0,
    "isvsvn": 0,
    "remote_attestation": "none",
    "debug": False,
    "enable_stats": False,
    "edmm_enable": False,
}
_CPU_FEATURE_DEFAULTS = {
    "avx": "unspecified",
    "avx512": "unspecified",
    "amx": "unspecified",
    "mpx": "disabled",
    "pkru": "disabled",
}
_CPU_FEATURES: dict[str, tuple[Xfrm, tuple[str, ...]]] = {
    "avx": (Xfrm.AVX, ("unspecified", "disabled", "required")),
    "avx512": (Xfrm.AVX512 | Xfrm.AVX, ("unspecified", "disabled", "required")),
    "amx": (Xfrm.AMX, ("unspecified", "disabled", "required")),
    "mpx": (Xfrm.MPX, ("disabled", "required")),
    "pkru": (Xfrm.PKRU, ("disabled", "required")),
}
_XFRM_ALWAYS_CHECKED = 0xFFFF_FFFF_FFF9_FF1B

_SGX_KEYS: dict[str, type] = {
    "allowed_files": list,
    "cpu_features": dict,
    "debug": bool,
    "edmm_enable": bool,
    "enable_stats": bool,
    "enclave_size": str,
    "file_check_policy": str,
    "insecure__allow_memfaults_without_exinfo": bool,
    "insecure__rpc_thread_num": int,
    "isvprodid": int,
    "isvsvn": int,
    "max_threads": int,
    "preheat_enclave": bool,
    "profile": dict,
    "remote_attestation": str,
    "seal_key": dict,
    "trusted_files": list,
    "use_exinfo": bool,
    "vtune_profile": bool,
}
_SIZE = re.compile(r"(0[xX][0-9a-fA-F]{1,16}|[1-9][0-9]{0,19})([KMG]?)", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class GramineManifest:
    """A completed manifest: ``text`` is what is written to .manifest.sgx and measured, ``sgx`` its table."""

    text: bytes = field(repr=False)
    sgx: Mapping[str, Any] = field(repr=False)
    enclave_size: int
    max_threads: int
    edmm: bool
    files: tuple[Path, ...]  # the trusted files, where they were found

    def measure(self, libpal: bytes) -> Measurement:
        """What SIGSTRUCT says about this enclave."""
        sgx = self.sgx
        mrenclave = measure_gramine(
            libpal,
            self.text,
            enclave_size=self.enclave_size,
            max_threads=self.max_threads,
            edmm=self.edmm,
        )
        xfrm, xfrm_mask = _xfrm(sgx["cpu_features"])
        flags = AttributeFlags.MODE64BIT | (AttributeFlags.DEBUG if sgx["debug"] else 0)
        return Measurement(
            mrenclave=mrenclave,
            attributes=Attributes(flags=int(flags), xfrm=xfrm),
            attributes_mask=Attributes(flags=_ALL_BITS, xfrm=xfrm_mask),
            misc_select=int(MiscSelect.EXINFO) if sgx["use_exinfo"] else 0,
            misc_mask=0xFFFFFFFF,
            isv_prod_id=sgx["isvprodid"],
            isv_svn=sgx["isvsvn"],
        )


def complete_manifest(
    text: bytes, *, chroot: Path | None = None, libos: Path | None = None
) -> GramineManifest:
    """Fills in the defaults, expands folders among the trusted files, hashes what has no hash.

    With ``chroot`` the URIs of trusted files are paths in that folder, and links are followed inside it.
    ``libos`` is the LibOS of manifests that name none. Raises ``UsageError``.
    """
    try:
        manifest = parse_toml(text)
    except ValueError as error:
        raise UsageError(f"the manifest is no valid TOML: {error}") from error
    return complete(manifest, chroot=chroot, libos=libos)


def complete(
    manifest: dict[str, Any], *, chroot: Path | None = None, libos: Path | None = None
) -> GramineManifest:
    """Do the same with a manifest that was parsed already, which is changed. Raises ``UsageError``."""
    import tomli_w

    sgx = _table(manifest, "sgx")
    for key, value in _SGX_DEFAULTS.items():
        sgx.setdefault(key, list(value) if isinstance(value, list) else value)
    sgx.setdefault("enclave_size", "1024G" if sgx["edmm_enable"] else "256M")
    sgx.setdefault("use_exinfo", False)
    features = _table(sgx, "cpu_features")
    for key, value in _CPU_FEATURE_DEFAULTS.items():
        features.setdefault(key, value)
    _check(manifest, sgx, features)
    _complete_entrypoint(_table(manifest, "loader"), libos)
    trusted = _expand(sgx["trusted_files"], chroot)
    sgx["trusted_files"] = [{"uri": uri, "sha256": digest} for uri, (digest, _) in trusted.items()]
    try:
        text = tomli_w.dumps(manifest).encode()
    except RecursionError as error:
        raise UsageError("the manifest is nested too deeply") from error
    return GramineManifest(
        text=text,
        sgx=sgx,
        enclave_size=_size(sgx["enclave_size"]),
        max_threads=sgx["max_threads"],
        edmm=sgx["edmm_enable"],
        files=tuple(path for _, path in trusted.values()),
    )


def _table(parent: dict[str, Any], key: str) -> dict[str, Any]:
    table = parent.setdefault(key, {})
    if not isinstance(table, dict):
        raise UsageError(f"the manifest's {key} is no table")
    return table


def _check(manifest: dict[str, Any], sgx: dict[str, Any], features: dict[str, Any]) -> None:
    if not isinstance(_table(manifest, "libos").get("entrypoint"), str):
        raise UsageError("the manifest has no libos.entrypoint")
    for key, value in sgx.items():
        if key not in _SGX_KEYS:
            raise UsageError(f"the manifest's key sgx.{key} is unknown to Gramine")
        if type(value) is not _SGX_KEYS[key]:
            raise UsageError(f"the manifest's sgx.{key} must be of the type {_SGX_KEYS[key].__name__}")
    if sgx["remote_attestation"] not in {"none", "dcap"}:
        raise UsageError(f'sgx.remote_attestation is "none" or "dcap", not {sgx["remote_attestation"]!r}')
    if sgx["max_threads"] < 1:
        raise UsageError("sgx.max_threads must be at least 1")
    for key in ("isvprodid", "isvsvn"):
        if not 0 <= sgx[key] <= 0xFFFF:
            raise UsageError(f"sgx.{key} must be between 0 and 65535")
    for feature, value in features.items():
        if feature not in _CPU_FEATURES:
            raise UsageError(f"the manifest's key sgx.cpu_features.{feature} is unknown to Gramine")
        if value not in _CPU_FEATURES[feature][1]:
            raise UsageError(f"sgx.cpu_features.{feature} cannot be {value!r}")
    _size(sgx["enclave_size"])


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if not match:
        raise UsageError(f"sgx.enclave_size is no size: {text[:40]!r}", hint='For example "1G" or "512M".')
    return int(match[1], 0) << {"": 0, "K": 10, "M": 20, "G": 30}[match[2]]


def _xfrm(features: dict[str, str]) -> tuple[int, int]:
    xfrm, mask = int(Xfrm.LEGACY), _XFRM_ALWAYS_CHECKED
    for feature, (bits, _) in _CPU_FEATURES.items():
        if features[feature] == "required":
            xfrm |= int(bits)
            mask |= int(bits)
        elif features[feature] == "disabled":
            xfrm &= ~int(bits)
            mask |= int(bits)
    return xfrm, mask


def _complete_entrypoint(loader: dict[str, Any], libos: Path | None) -> None:
    entrypoint = _table(loader, "entrypoint")
    if "uri" not in entrypoint:
        if libos is None:
            raise UsageError(
                "the manifest has no loader.entrypoint.uri", hint="Name Gramine's LibOS, libsysdb.so, there."
            )
        entrypoint["uri"] = f"file:{libos}"
    path = _path_of(entrypoint["uri"])
    if "sha256" not in entrypoint:
        entrypoint["sha256"] = _hash_file(Path(path))
    _check_hash(entrypoint["uri"], entrypoint["sha256"])


def _expand(entries: list[Any], chroot: Path | None) -> dict[str, tuple[str, Path]]:
    """URI -> (hash, place). Of two entries with one URI, one with a hash wins; two hashes must agree."""
    found: dict[str, tuple[str | None, Path]] = {}
    for entry in entries:
        uri, digest = _read_entry(entry)
        for file_uri, path in _files_of(uri, digest, chroot):
            known = found.get(file_uri)
            if known is None or known[0] is None:
                found[file_uri] = digest, path
            elif digest is not None and digest != known[0]:
                raise UsageError(f"the trusted file {file_uri} has two different hashes")
    return {uri: (digest or _hash_file(path), path) for uri, (digest, path) in found.items()}


def _read_entry(entry: Any) -> tuple[str, str | None]:
    if isinstance(entry, str):
        return entry, None
    if (
        not isinstance(entry, dict)
        or not isinstance(entry.get("uri"), str)
        or entry.keys() - {"uri", "sha256"}
    ):
        raise UsageError(
            f"an entry of sgx.trusted_files is neither a URI nor a table of uri and sha256: {entry!r}"
        )
    digest = entry.get("sha256")
    if digest is not None:
        _check_hash(entry["uri"], digest)
    return entry["uri"], digest


def _check_hash(uri: str, digest: Any) -> None:
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        raise UsageError(f"the sha256 of {uri} is no SHA-256 in lower-case hexadecimal: {digest!r}")


def _files_of(uri: str, digest: str | None, chroot: Path | None) -> Iterator[tuple[str, Path]]:
    path = _resolve(_path_of(uri), chroot)
    if not uri.endswith("/"):
        if digest is None and path.is_dir():
            raise UsageError(f"the trusted file {uri} is a folder; its URI must end with /")
        yield uri, path
    elif digest is not None:
        raise UsageError(f"the trusted folder {uri} cannot have a hash")
    elif not path.is_dir():
        raise UsageError(f"the trusted folder {uri} is no folder")
    else:
        yield from _files_below(path, chroot)


def _files_below(folder: Path, chroot: Path | None) -> Iterator[tuple[str, Path]]:
    """Readable files, sorted by name in each folder; links to files by their own name, links to folders not
    at all.
    """
    for path in sorted(folder.iterdir()):
        name = PurePosixPath("/", path.relative_to(chroot)) if chroot else PurePosixPath(path)
        try:
            str(name).encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"the name of the trusted file {str(name)!a} is not UTF-8") from error
        try:
            target = _resolve(name, chroot)
        except UsageError:
            continue  # a dangling link, or a loop
        if target.is_dir():
            if not path.is_symlink():
                yield from _files_below(path, chroot)
        elif target.is_file() and os.access(target, os.R_OK):
            yield f"file:{name}", target


def _path_of(uri: Any) -> PurePosixPath:
    if not isinstance(uri, str) or not uri.startswith("file:"):
        raise UsageError(f"only file: URIs can be trusted, not {uri!r}")
    return PurePosixPath(uri.removeprefix("file:"))


def _resolve(path: PurePosixPath, chroot: Path | None) -> Path:
    """Where ``path`` is; inside ``chroot`` links and ``..`` never lead out of it."""
    if chroot is None:
        return Path(path)
    if not path.is_absolute():
        raise UsageError(f"in a changed root only absolute paths can be measured, not {path}")
    inside = PurePosixPath("/")
    parts = list(reversed(path.parts[1:]))
    links = 0
    while parts:
        part = parts.pop()
        if part == "..":
            inside = inside.parent
            continue
        inside /= part
        outside = chroot / inside.relative_to("/")
        if not outside.is_symlink():
            continue
        links += 1
        if links > _MAX_LINKS:
            raise UsageError(f"too many links on the way to {path}")
        target = PurePosixPath(outside.readlink())
        inside = PurePosixPath("/") if target.is_absolute() else inside.parent
        parts += reversed(target.parts[1:] if target.is_absolute() else target.parts)
    return chroot / inside.relative_to("/")


def _hash_file(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageError(f"the trusted file {path} is no regular file")
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"cannot read the trusted file {path}: {error.strerror}") from error
