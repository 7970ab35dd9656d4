"""The files of a PAL, copied to where nobody else can change them: what a container sees on ``/.rune``.

    /var/lib/rune/pals/HEX/NAME          of root
    $XDG_DATA_HOME/rune/pals/HEX/NAME    of other users, or below ~/.local/share

HEX is the SHA-256 of the names and digests of all files, the runelet's too. Each file is hashed while it is
copied, and again, from the copy, for every container. Not below /run: that may be mounted noexec.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import EnclavizeError, IntegrityError
from enclavize.lock import locked
from enclavize.oci.storage import storage_errors
from enclavize.oci.stream import chunks
from enclavize.rune.pal_elf import check_pal_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from enclavize.rune.pal_list import PalFile, PalList

RUNELET = "runelet"
RUN = "run"
"""Where the container's own folder is mounted."""

_MAX_SIZE = 1 << 29
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, kw_only=True)
class PalFolder:
    """The folder, and by name the SHA-256 of each file in it, in hex."""

    path: Path
    digests: Mapping[str, str]

    def described(self) -> dict[str, tuple[int, int, str]]:
        """Return permission bits, size and digest of each file. Raises OSError."""
        return {name: (*self._status(name), digest) for name, digest in self.digests.items()}

    def _status(self, name: str) -> tuple[int, int]:
        status = (self.path / name).lstat()
        return stat.S_IMODE(status.st_mode), status.st_size


def pal_folder(
    pal: PalList, runelet: Path, image_copy: Callable[[str], Iterator[bytes]], base: Path
) -> PalFolder:
    """Return the folder with the files, which is made when it is first needed.

    ``image_copy`` reads the image's copy of a file, by its SHA-256. Raises EnclavizeError.
    """
    data = runelet.read_bytes()
    wanted = {name: file.sha256 for name, file in pal.files.items()}
    wanted[RUNELET] = hashlib.sha256(data).hexdigest()
    name = hashlib.sha256(f"{pal.content} {wanted[RUNELET]}".encode()).hexdigest()
    folder = base / name
    with storage_errors("write", base):
        base.mkdir(mode=0o755, parents=True, exist_ok=True)
        _check_own(base)
        with locked(base / f"{name}.lock"):
            if not _is_whole(folder, wanted):
                _make(folder, pal, data, image_copy)
    return PalFolder(path=folder, digests=wanted)


def default_base() -> Path:
    """Return where the folders of this user are."""
    if os.geteuid() == 0:
        return Path("/var/lib/rune/pals")
    chosen = os.environ.get("XDG_DATA_HOME") or f"{os.environ.get('HOME', '')}/.local/share"
    if not chosen.startswith("/"):
        raise EnclavizeError("there is no folder for copies of PALs", hint="set XDG_DATA_HOME")
    return Path(chosen) / "rune" / "pals"


def _check_own(base: Path) -> None:
    status = base.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise EnclavizeError(f"{base} is not a folder that this user alone can write to")


def _is_whole(folder: Path, wanted: dict[str, str]) -> bool:
    """Whether the copies are what they were: names, kinds, owners, modes and contents."""
    with suppress(OSError):
        _check_own(folder)
        names = set(os.listdir(folder))  # noqa: PTH208 - names are what is compared
        return names == {*wanted, RUN} and all(
            _digest_of_copy(folder / name) == digest for name, digest in wanted.items()
        )
    return False


def _digest_of_copy(path: Path) -> str:
    descriptor = os.open(path, _FILE)
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            return ""
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _make(folder: Path, pal: PalList, runelet: bytes, image_copy: Callable[[str], Iterator[bytes]]) -> None:
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        for name, file in pal.files.items():
            _copy(new / name, pal, name, _pieces(file, image_copy))
        (new / RUNELET).write_bytes(runelet)
        for path in new.iterdir():
            path.chmod(0o555)
        (new / RUN).mkdir(mode=0o755)
        check_pal_files(pal, new, RUNELET)
        new.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _pieces(file: PalFile, image_copy: Callable[[str], Iterator[bytes]]) -> Iterator[bytes]:
    if file.path is None:
        yield from image_copy(file.sha256)
        return
    with _opened(file.path) as stream:
        for piece in chunks(stream):
            yield bytes(piece)


def _opened(path: Path) -> BinaryIO:
    try:
        stream = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0)  # noqa: SIM115, PTH123 - by descriptor
    except OSError as error:
        raise EnclavizeError(
            f"cannot read {path}, which the list of a PAL names: {error.strerror}"
        ) from error
    return stream


def _copy(target: Path, pal: PalList, name: str, pieces: Iterator[bytes]) -> None:
    """Copy what is hashed, and nothing else. Raises IntegrityError."""
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as output:
        for piece in pieces:
            size += len(piece)
            if size > _MAX_SIZE:
                raise IntegrityError(f"{pal.title}: {name} is larger than {_MAX_SIZE} bytes")
            digest.update(piece)
            output.write(piece)
    if digest.hexdigest() != pal.files[name].sha256:
        where = pal.files[name].path or "the image's copy"
        raise IntegrityError(
            f"{pal.title}: {name} ({where}) has the SHA-256 {digest.hexdigest()}, not the listed one",
            hint="after an upgrade, write the list again: enclavize toolchain pal",
        )
