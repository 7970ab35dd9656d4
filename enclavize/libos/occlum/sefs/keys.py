"""Image keys and MACs in Occlum's notation: 16 bytes as pairs of hexadecimal digits with hyphens between."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from enclavize.errors import SigningRefusedError, UsageError
from enclavize.oci.storage import storage_errors

if TYPE_CHECKING:
    from pathlib import Path

_NOTATION = re.compile(r"[0-9a-fA-F]{2}(-[0-9a-fA-F]{2}){15}")
_LONGEST = 64
_SIZE = 16


def notation(value: bytes) -> str:
    """Return a MAC as Occlum writes it."""
    return value.hex("-")


def parse_notation(text: str) -> bytes | None:
    """Read 16 bytes in Occlum's notation; None if that is not what it is."""
    return bytes.fromhex(text.replace("-", "")) if _NOTATION.fullmatch(text) else None


def parse_mac(text: str) -> bytes:
    """Read a root MAC. Raises UsageError."""
    mac = parse_notation(text)
    if mac is None:
        raise UsageError(f"{text!r} is no root MAC", hint="it is 16 bytes written as 00-11-22-...-ff")
    return mac


def write_image_key(path: Path) -> None:
    """Write a new image key that only its owner can read. Raises UsageError if the file exists."""
    from enclavize.sgx.atomic_file import write_file

    try:
        write_file(path, [notation(os.urandom(_SIZE)).encode() + b"\n"], mode=0o600, replace=False)
    except FileExistsError as error:
        raise UsageError(f"{path} exists; a key is never overwritten", hint="choose another name") from error
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def read_image_key(path: Path) -> bytes:
    """Read the key of an image from a file, as ``occlum gen-image-key`` writes it.

    Raises UsageError for anything else, SigningRefusedError for a key that every user can read.
    """
    with storage_errors("read", path), path.open("rb") as file:
        mode = path.stat().st_mode
        text = file.read(_LONGEST).decode("ascii", "replace")
    key = parse_notation(text.removesuffix("\n"))
    if key is None:
        raise UsageError(
            f"{path} holds no image key", hint="it is one line: 16 random bytes written as 00-11-22-...-ff"
        )
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        raise SigningRefusedError(
            f"every user of this machine can read the image key {path}", hint=f"chmod 600 {path}"
        )
    return key
