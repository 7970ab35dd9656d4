"""Toolchains that the user keeps, below ``enclavize/toolchains`` in the user's data folder (XDG_DATA_HOME).

    NAME.json       what the toolchain is, and the SHA-256 of its files
    sha256/<hex>    the files; toolchains share those that are equal
    lock            held by whoever adds or removes

A file gets its name when it is whole, a toolchain when all its files are there.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import EnclavizeError, UsageError
from enclavize.folders import user_data
from enclavize.libos.toolchain.model import Toolchain, ToolchainFile
from enclavize.libos.toolchain.tree import FILE, MAX_FILE_SIZE
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import hex_of, parse_digest
from enclavize.oci.document import Document, canonical_json, parse_document
from enclavize.oci.storage import atomic_file, storage_errors
from enclavize.oci.stream import chunks, verified

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from enclavize.oci.cache import BlobCache
    from enclavize.progress import Task

FORMAT = 1
MAX_DOCUMENT_SIZE = 1 << 20
"""Bytes of NAME.json."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", re.ASCII)


def folder() -> Path:
    """Return where kept toolchains are."""
    return user_data() / "toolchains"


def names() -> tuple[str, ...]:
    """Return the names of all kept toolchains."""
    return tuple(sorted(path.stem for path in folder().glob("*.json") if not path.name.startswith(".")))


def find(name: str) -> Toolchain | None:
    """Return a kept toolchain, or None. Raises EnclavizeError if it is damaged."""
    if not _NAME.fullmatch(name):
        return None
    path = folder() / f"{name}.json"
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_DOCUMENT_SIZE)
    except FileNotFoundError:
        return None
    document = parse_document(data, str(path))
    if document.number("format", maximum=1 << 16) != FORMAT:
        raise EnclavizeError(f"{path} was written by another version of enclavize", hint="import it again")
    searched = document.document("searched") or Document({}, str(path))
    return Toolchain(
        libos=document.text("libos"),
        version=document.text("version"),
        origin=f"{name} (from {document.text('source')})",
        files={file.path: file for file in map(_file, document.documents("files"))},
        missing=document.texts("missing"),
        searched={place: searched.texts(place) for place in searched.members},
    )


def check_name(name: str) -> None:
    """Raise UsageError if a toolchain cannot have this name, or if another one has it."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"--name {name!r}: a name has up to 100 letters, digits, '.', '_' and '-', and does not begin "
            "with the latter three"
        )
    if (folder() / f"{name}.json").exists():
        raise UsageError(
            f"there is a toolchain {name} already",
            hint=f"take another name, or remove it: enclavize toolchain rm {name}",
        )


def keep(toolchain: Toolchain, name: str, task: Task) -> None:
    """Keep a toolchain under a name. Raises UsageError if the name is taken or impossible."""
    check_name(name)
    with _locked() as root:
        check_name(name)  # again: now nobody else can take it
        store = _store()
        for file in toolchain.files.values():
            digest = parse_digest(f"sha256:{file.sha256}")
            if store.has(digest):
                continue
            with file.open() as stream, store.writer(digest) as writer:
                for piece in chunks(stream):
                    writer.write(piece)
                    task.advance(len(piece))
        with atomic_file(root / f"{name}.json") as output:
            output.write(canonical_json(_to_json(toolchain)))


def remove(name: str) -> None:
    """Forget a toolchain, and remove the files that no other one has. Raises UsageError if there is none."""
    with _locked() as root:
        path = root / f"{name}.json"
        if not _NAME.fullmatch(name) or not path.is_file():
            raise UsageError(f"there is no toolchain {name}", hint=f"kept: {', '.join(names()) or 'none'}")
        path.unlink()
        _store().remove_abandoned()
        used = {file.sha256 for other in names() if (known := find(other)) for file in known.files.values()}
        for stored in (root / "sha256").glob("*"):
            if stored.name not in used:
                stored.unlink(missing_ok=True)


@contextmanager
def _locked() -> Iterator[Path]:
    from enclavize.lock import locked

    root = folder()
    with storage_errors("write", root):
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(root / "lock"):
            yield root


def _store() -> BlobCache:
    from enclavize.oci.cache import BlobCache

    return BlobCache(folder())


def _to_json(toolchain: Toolchain) -> dict[str, object]:
    return {
        "format": FORMAT,
        "libos": toolchain.libos,
        "version": toolchain.version,
        "source": toolchain.origin,
        "files": [
            {
                "path": file.path,
                "mode": file.mode,
                "size": file.size,
                "digest": f"sha256:{file.sha256}",
                "link": file.link_target,
            }
            for _, file in sorted(toolchain.files.items())
        ],
        "missing": list(toolchain.missing),
        "searched": {place: list(folders) for place, folders in toolchain.searched.items()},
    }


def _file(document: Document) -> ToolchainFile:
    path = document.text("path")
    descriptor = Descriptor(
        media_type=FILE,
        digest=parse_digest(document.text("digest")),
        size=document.number("size", maximum=MAX_FILE_SIZE),
    )
    return ToolchainFile(
        path=path,
        mode=document.number("mode", maximum=0o777),
        size=descriptor.size,
        sha256=hex_of(descriptor.digest),
        open=partial(_open, path, descriptor),
        link_target=document.text("link"),
    )


def _open(path: str, descriptor: Descriptor) -> BinaryIO:
    stored = folder() / "sha256" / hex_of(descriptor.digest)
    with storage_errors("read", stored):
        stream = stored.open("rb", buffering=0)
    return verified(stream, descriptor, f"the kept toolchain's {path} ({stored}) was damaged: it")
