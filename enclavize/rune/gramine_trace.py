"""``run --simulate --trace`` of an image for Gramine: which of its files it opens, and which it could not.

The container sees a changed manifest: everything may be opened, so that a program does not end at the first
file that the enclave would refuse. Simulation protects nothing anyway; the image itself stays as it is.
"""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enclavize.errors import UsageError
from enclavize.libos.gramine.layout import MANIFEST
from enclavize.libos.gramine.manifest_reader import read_manifest
from enclavize.oci.storage import storage_errors
from enclavize.rootfs.names import printable
from enclavize.rune.opened_files import watched
from enclavize.tee.layout import ROOT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from enclavize.rune.opened_files import OpenedFiles

_LIBOS_FOLDERS = frozenset({f"/{ROOT}", "/proc", "/sys", "/dev"})
_SHOWN = 20
_HEAD = 1 << 20
_IDS = re.compile(rb"^([ug]id) = ([0-9]{1,9})$", re.MULTILINE)
"""Variables have values in quotes, so that these are keys of ``[loader]``."""


@dataclass(frozen=True, kw_only=True)
class Lists:
    """Absolute paths of a tree that the enclave opens: files by hash, and what is the host's."""

    trusted: frozenset[str]
    allowed: tuple[str, ...]

    def has(self, path: str) -> bool:
        """Tell whether the enclave opens a file."""
        return path in self.trusted or any(
            path.startswith(folder) if folder.endswith("/") else path == folder for folder in self.allowed
        )


@contextmanager
def traced(tree: Path, folder: Path, report: Path | None, *, simulate: bool) -> Iterator[Path]:
    """Watch ``tree`` and give the manifest that the container sees, made in ``folder``; report at the end.

    The report goes to a file, one path a line as ``build --only-opened`` takes it, or to standard error.
    Raises UsageError.
    """
    import tomli_w

    if not simulate:
        raise UsageError(
            "--trace: files of a Gramine image are traced in simulation alone", hint="add --simulate"
        )
    manifest = read_manifest((tree / ROOT / MANIFEST).read_bytes())
    lists = lists_of(manifest)
    changed = folder / "traced.manifest"
    with storage_errors("write", changed):
        changed.write_text(tomli_w.dumps(open_manifest(manifest)))
        changed.chmod(0o444)
    with watched(tree, _LIBOS_FOLDERS) as opened:
        yield changed
    text = report_text(opened, lists)
    if report is None:
        sys.stderr.write(text)
        return
    with storage_errors("write", report):
        report.write_text(text, errors="surrogateescape")
    sys.stderr.write(summary(opened, lists))


def lists_of(manifest: dict[str, Any]) -> Lists:
    """Return what a manifest lists."""
    sgx = manifest["sgx"]
    return Lists(
        trusted=frozenset(file["uri"].removeprefix("file:") for file in sgx["trusted_files"]),
        allowed=tuple(uri.removeprefix("file:") for uri in sgx.get("allowed_files", [])),
    )


def open_manifest(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest by which everything may be opened."""
    sgx = {**manifest["sgx"], "trusted_files": [], "file_check_policy": "allow_all_but_log"}
    return {**manifest, "sgx": sgx}


def report_text(opened: OpenedFiles, lists: Lists) -> str:
    """Return the report: files that the enclave lists, then those that it refuses."""
    refused = _refused(opened.paths, lists)
    listed = sorted(opened.paths - set(refused))
    lines = [f"# {len(listed)} files that the program opened", *listed]
    if refused:
        lines += [f"# {len(refused)} more, which the enclave does not list: it would refuse them", *refused]
    if opened.overflowed:
        lines.append("# NOT COMPLETE: files were opened faster than they could be noted")
    return "".join(f"{line}\n" for line in lines if "\n" not in line)


def summary(opened: OpenedFiles, lists: Lists) -> str:
    """Return what is said on standard error beside a report in a file."""
    refused = _refused(opened.paths, lists)
    text = f"trace: {len(opened.paths)} files were opened\n"
    if opened.overflowed:
        text += "trace: NOT COMPLETE: files were opened faster than they could be noted; try again\n"
    if refused:
        text += f"trace: the enclave does not list {len(refused)} of them, and would refuse them:\n"
        text += "".join(f"  {printable(path)}\n" for path in refused[:_SHOWN])
        if len(refused) > _SHOWN:
            text += f"  and {len(refused) - _SHOWN} more\n"
        text += "trace: list them with build --keep PATH, or open folders of the host's with --volume\n"
    return text


def _refused(paths: Collection[str], lists: Lists) -> list[str]:
    return sorted(path for path in paths if not lists.has(path))


def user_of(tree: Path) -> tuple[int, int]:
    """Return uid and gid of the program; the host knows its files by them. Raises EnclavizeError.

    They stand before the long lists of a manifest, and nothing that is checked depends on them here.
    """
    path = tree / ROOT / MANIFEST
    with storage_errors("read", path), path.open("rb") as file:
        head = file.read(_HEAD)
    found = dict(_IDS.findall(head))
    return int(found.get(b"uid", b"0")), int(found.get(b"gid", b"0"))
