"""Create files below a directory without ever leaving it: no symbolic link on the way is followed.

Source: openat2(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import TYPE_CHECKING, Self

from enclavize.errors import EnclavizeError
from enclavize.oci.storage import umask

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_LIBC = ctypes.CDLL(None, use_errno=True)
_SYS_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 0x02, 0x04, 0x08


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(directory: int, path: bytes, flags: int, mode: int = 0) -> int:
    """Open ``path`` below an open directory. Raises OSError; ELOOP or EXDEV if the path leads elsewhere."""
    how = _OpenHow(
        flags | os.O_CLOEXEC, mode, _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS
    )
    result = int(
        _LIBC.syscall(
            ctypes.c_long(_SYS_OPENAT2),
            ctypes.c_int(directory),
            ctypes.c_char_p(path),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
    )
    if result < 0:
        code = ctypes.get_errno()
        if code == errno.ENOSYS:
            raise EnclavizeError("cannot unpack safely without openat2", hint="use Linux 5.6 or later")
        raise OSError(code, os.strerror(code), os.fsdecode(path))
    return result


class Beneath:
    """Makes directories, files and links below ``root``. Paths are relative, in bytes.

    Modes are those that are asked for: what an image lets everybody write to does not depend on the umask.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._umask = umask()
        self._folder = b""
        self._folder_descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        os.close(self._root)

    def directory(self, path: bytes, mode: int) -> None:
        """Make a directory in one that exists."""
        folder, name = self._parent(path)
        os.mkdir(name, mode, dir_fd=folder)
        if mode & self._umask:
            os.chmod(name, mode, dir_fd=folder)

    def create(self, path: bytes, mode: int) -> int:
        """Make a regular file, and open it for writing."""
        folder, name = self._parent(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = open_beneath(folder, name, flags, mode)
        if mode & self._umask:
            os.fchmod(descriptor, mode)
        return descriptor

    def symlink(self, path: bytes, target: bytes) -> None:
        """Make a symbolic link."""
        folder, name = self._parent(path)
        os.symlink(target, name, dir_fd=folder)

    def hard_link(self, path: bytes, target: bytes) -> None:
        """Make ``path`` another name of ``target``."""
        target_folder, _, target_name = target.rpartition(b"/")
        folder, name = self._parent(path)
        other = open_beneath(self._root, target_folder or b".", os.O_PATH | os.O_DIRECTORY)
        try:
            os.link(target_name, name, src_dir_fd=other, dst_dir_fd=folder, follow_symlinks=False)
        finally:
            os.close(other)

    def _parent(self, path: bytes) -> tuple[int, bytes]:
        """Return the directory of ``path``, which stays open for its neighbours, and the name in it."""
        folder, _, name = path.rpartition(b"/")
        if self._folder_descriptor < 0 or folder != self._folder:
            self._leave()
            self._folder_descriptor = open_beneath(self._root, folder or b".", os.O_PATH | os.O_DIRECTORY)
            self._folder = folder
        return self._folder_descriptor, name

    def _leave(self) -> None:
        if self._folder_descriptor >= 0:
            os.close(self._folder_descriptor)
            self._folder_descriptor = -1
