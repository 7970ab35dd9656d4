"""Whether anybody would see another image in a forged one; what nobody sees is neutral and may be trusted."""

from __future__ import annotations

import io
import posixpath
import signal
import tarfile
from typing import TYPE_CHECKING, Any

from enclavize.errors import InvalidImageError
from enclavize.libos.builtin.users import find_account
from enclavize.oci import media_types
from support.changed_json import GoObject, load
from support.forgery import TAG

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from enclavize.libos.builtin.config import User
    from support.forgery import Forgery

_LABELS = frozenset(
    f"org.enclavize.{name}"
    for name in ("format", "libos", "libos.version", "mrenclave", "mrsigner", "isvprodid", "isvsvn", "debug")
)

_PROCESSORS = {"amd64": "amd64", "x86_64": "amd64", "x86-64": "amd64"}
"""Names of processors, by which engines know them (containerd, platforms/database.go)."""


def differences(image: Forgery, forged: Forgery, *, own: int = 2, metadata: bool = True) -> Iterator[str]:
    """Yield what somebody would see who reads the forged image as engines do.

    ``own`` are how many of the last layers a build added. Without ``metadata`` the LibOS binds what is in
    files alone: it shows programs modes, owners and times of its own.

    Nobody sees, and it is therefore neutral: how layers are compressed, and what compression their types name
    (engines look at the bytes, or refuse); in which order layers or members bring the same tree; members of
    documents that engines do not know; annotations of others, or missing ones (they get lost in archives);
    labels of others, ports and volumes elsewhere; and other ways to write the same thing.
    """
    yield from _manifest_differences(GoObject(load(image.manifest)), GoObject(load(forged.manifest)))
    tree, forged_tree = _merged(image), _merged(forged)
    for path in sorted(tree.keys() | forged_tree.keys()):
        before, after = (_bound(found.get(path), metadata=metadata) for found in (tree, forged_tree))
        if before != after:
            yield f"/{path}"
    if _config_facts(image.config, tree) != _config_facts(forged.config, forged_tree):
        yield "configuration"
    if [layer.diff_id for layer in image.layers[-own:]] != [layer.diff_id for layer in forged.layers[-own:]]:
        yield "the enclave's own layers"
    if forged.blobs:
        yield "a blob"
    if forged.index is not None and _tagged(forged.index) != {image.digest}:
        yield "index.json"


def _manifest_differences(image: GoObject, forged: GoObject) -> Iterator[str]:
    ours = image["annotations"] or {}
    for key, text in (forged["annotations"] or {}).items():
        if key in _LABELS and ours.get(key) != text:
            yield f"annotation {key}"
    for name, default in (("mediaType", media_types.OCI_MANIFEST), ("manifests", None)):
        if (image[name] or default) != (forged[name] or default):
            yield name
    if image.member("config")["mediaType"] != forged.member("config")["mediaType"]:
        yield "media type of the configuration"


def _config_facts(data: bytes, tree: Mapping[str, Any]) -> Any:
    top = GoObject(load(data))
    config, rootfs = top.member("config"), top.member("rootfs")
    labels = config["Labels"] or {}
    return (
        (top["os"] or "linux").lower(), _PROCESSORS.get((top["architecture"] or "amd64").lower()),
        tuple(config["Entrypoint"] or ()), tuple(config["Cmd"] or ()), tuple(config["Env"] or ()),
        _user(tree, str(config["User"] or "")), config["WorkingDir"] or "/",
        _signal(config["StopSignal"] or "SIGTERM"), config.member("Healthcheck")["Test"] or [],
        config["OnBuild"] or [], config["Shell"] or [],
        [path for path in config["Volumes"] or {} if _covers(path)],
        {key: text for key, text in labels.items() if key in _LABELS}, rootfs["type"] or "layers",
    )  # fmt: skip


def _user(tree: Mapping[str, Any], name: str) -> User | None:
    *_, passwd = tree.get("etc/passwd", (b"",))
    try:
        return find_account(name, passwd, b"").user
    except InvalidImageError:
        return None


def _signal(name: str) -> int:
    """Return the number, as moby/sys/signal finds it."""
    return int(name) if name.isdigit() else signal.Signals[f"SIG{name.upper().removeprefix('SIG')}"].value


def _covers(path: str) -> bool:
    place = posixpath.normpath(f"/{path}")
    return place == "/" or f"{place}/".startswith("/.enclave/")


def _merged(image: Forgery) -> dict[str, Any]:
    """Apply the layers, whiteouts first: in layers as engines write them, order means nothing else."""
    tree: dict[str, Any] = {}
    for number in range(len(image.layers)):
        entries = list(_entries(image.content(number)))
        for path, _ in entries:
            folder, name = posixpath.split(path)
            if name == ".wh..wh..opq":
                _remove(tree, folder, inside=True)
            elif name.startswith(".wh."):
                _remove(tree, posixpath.join(folder, name[4:]))
        for path, facts in entries:
            if posixpath.basename(path).startswith(".wh."):
                continue
            if facts[0] != tarfile.DIRTYPE:
                _remove(tree, path)
            tree[path] = facts
    return tree


def _bound(facts: Any, *, metadata: bool) -> Any:
    if facts is None or metadata:
        return facts
    kind, *_, link, content = facts
    return None if kind == tarfile.DIRTYPE else (kind, link, content)


def _remove(tree: dict[str, Any], path: str, *, inside: bool = False) -> None:
    for found in [found for found in tree if found.startswith(f"{path}/") or (found == path and not inside)]:
        del tree[found]


class _NoGlobalRecords(dict[str, str]):
    """What global headers say of members: nothing, to engines (Go, archive/tar: Reader.Next)."""

    def __setitem__(self, key: str, value: str) -> None:
        pass

    def copy(self) -> dict[str, str]:
        return {}


def _entries(archive: bytes) -> Iterator[tuple[str, Any]]:
    with tarfile.open(fileobj=io.BytesIO(archive), pax_headers=_NoGlobalRecords()) as members:
        for member in members:
            stream = members.extractfile(member) if member.isreg() else None
            owner = (member.uid, member.gid, member.mtime)
            facts = (
                member.type,
                member.mode,
                *owner,
                member.linkname if member.issym() else "",
                stream.read() if stream else b"",
            )
            yield posixpath.normpath(member.name.lstrip("/")), facts


def _tagged(data: bytes) -> set[Any]:
    key = "org.opencontainers.image.ref.name"
    entries = GoObject(load(data)).members("manifests")
    return {entry["digest"] for entry in entries if (entry["annotations"] or {}).get(key) == TAG}
