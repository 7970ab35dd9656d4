"""Digests of the files that run outside of an enclave, as an operator pins them: ``--host-files FILE``.

The format is that of sha256sum, one LibOS release a file:

    # enclavize toolchain digests: Gramine 1.9
    HEX  gramine/direct/loader

Paths are those in a TEE image, below ``/.enclave/``. Lines that begin with ``#`` and empty ones do not count.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.rootfs.names import printable
from enclavize.tee.layout import ROOT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path


_MAX_SIZE = 1 << 20
_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *]([!-~]+)", re.ASCII)
"""Two blanks, or one and ``*`` for sha256sum's binary mode, which is the same."""


@dataclass(frozen=True, kw_only=True)
class HostFiles:
    """What the files of one LibOS release are: SHA-256 in hex by path below ``/.enclave/``.

    ``origin`` is what messages call it; ``version`` that of the LibOS, where it is known.
    """

    origin: str
    files: Mapping[str, str]
    version: str = ""

    def differences(self, found: Mapping[str, str], *, without: Collection[str] = ()) -> Iterator[str]:
        """Yield in words how ``found`` differs, which must have the same paths with the same digests.

        Paths in ``without`` do not count.
        """
        for path in sorted((self.files.keys() | found.keys()) - set(without)):
            if path not in found:
                yield f"{path} is missing"
            elif path not in self.files:
                yield f"{path} is not among its files"
            elif self.files[path] != found[path]:
                yield f"{path} is another file"

    def to_text(self, title: str) -> str:
        """Return a file for ``--host-files``; ``title`` becomes a comment."""
        lines = (f"{digest}  {path}\n" for path, digest in sorted(self.files.items()))
        return f"# {title}\n{''.join(lines)}"


def read_host_files(path: Path) -> HostFiles:
    """Read a file of digests. Raises UsageError naming the line that is wrong."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_SIZE + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > _MAX_SIZE:
        raise UsageError(f"{path}: a list of digests has at most {_MAX_SIZE} bytes")
    files: dict[str, str] = {}
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
        if not line or line.startswith("#"):
            continue
        name, digest = _parse_line(line, f"{path}, line {number}")
        if name in files:
            raise UsageError(f"{path}, line {number}: {name} stands twice")
        files[name] = digest
    if not files:
        raise UsageError(
            f"{path} lists no file", hint="make it with: enclavize toolchain digests TOOLCHAIN --libos NAME"
        )
    return HostFiles(origin=str(path), files=files)


def _parse_line(line: str, what: str) -> tuple[str, str]:
    match = _LINE.fullmatch(line.removesuffix("\r"))
    if match is None:
        raise UsageError(
            f"{what}: {printable(line)[:80]!r} is not of the form DIGEST  PATH",
            hint="it is what sha256sum writes",
        )
    path = match[2].removeprefix("./")
    if posixpath.normpath(path) != path or path.startswith(("/", "../")) or path in (".", ".."):
        raise UsageError(f"{what}: {path!r} is not a path below /{ROOT}/, such as gramine/sgx/loader")
    return path, match[1].lower()
