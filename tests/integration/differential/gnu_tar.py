"""Let GNU tar write members with any names, in any order."""

from __future__ import annotations

import os
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from support.programs import need

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.images import Member


def run(*command: str | Path, cwd: Path | None = None) -> bytes:
    """Run another writer; return what it prints."""
    need(str(command[0]))
    done = subprocess.run(command, capture_output=True, check=False, cwd=cwd, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def archive_of(members: Sequence[Member], *options: str) -> bytes:
    """Make each member a file of its own with a number for its name, and let GNU tar rename it on its way.

    A hard link is one to the latest earlier member of that name.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        renames = []
        for number, member in enumerate(members):
            path = folder / f"{number:04}"
            _make(member, path, _target(members[:number], member, folder))
            renames.append(f"--transform=s|^{path.name}\\(/\\?\\)$|{member.path.rstrip('/')}\\1|")
        names = sorted(path.name for path in folder.iterdir())
        return run("tar", "-P", "--no-recursion", *options, *renames, "-cf", "-", *names, cwd=folder)


def _target(earlier: Sequence[Member], member: Member, folder: Path) -> Path:
    found = [number for number, other in enumerate(earlier) if other.path == member.link]
    return folder / f"{found[-1]:04}" if found else folder


def _make(member: Member, path: Path, target: Path) -> None:
    match member.type:
        case tarfile.LNKTYPE:
            path.hardlink_to(target)
            return
        case tarfile.DIRTYPE:
            path.mkdir()
        case tarfile.SYMTYPE:
            path.symlink_to(member.link)
        case _:
            path.write_bytes(member.data)
    os.chown(path, member.uid, member.gid, follow_symlinks=False)
    if not path.is_symlink():
        path.chmod(member.mode)
    os.utime(path, (member.mtime, member.mtime), follow_symlinks=False)
