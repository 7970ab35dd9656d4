"""What the rules look at: an image's files and what it starts, for all LibOSes alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING

from enclavize.compat.nginx import configuration
from enclavize.compat.profile import Support
from enclavize.compat.program import Program
from enclavize.compat.stages import stages
from enclavize.rootfs.entry import FileType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from enclavize.compat.profile import FileSupport
    from enclavize.compat.stages import Stage
    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.tree import Rootfs


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What the rules look at. ``environment`` has PATH; the user is who the image runs as."""

    rootfs: Rootfs
    arguments: tuple[str, ...]
    working_directory: str
    environment: Mapping[str, str]
    uid: int
    gids: frozenset[int]
    ports: tuple[str, ...] = ()
    """What the image exposes, such as ``80/tcp``."""
    health: tuple[str, ...] = ()
    """The command of its health check."""
    writable: tuple[str, ...] = ()
    """Absolute paths of the image's volumes, and of those and of folders in memory that a build is told."""

    @cached_property
    def program(self) -> Program:
        """What the image starts: the same for all LibOSes."""
        if not self.arguments or not self.arguments[0]:
            return Program()
        return self.stages[0].program

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """What the command line comes to, step by step."""
        return stages(self.rootfs, self.arguments, self.working_directory, self.environment, self.uid)

    @cached_property
    def nginx(self) -> Callable[[tuple[str, ...]], str]:
        """Return nginx's configuration for a command line; each is read once."""
        return cache(partial(configuration, self.rootfs))

    def is_closed(self, folder: str, files: FileSupport) -> bool:
        """Tell whether the image has a folder that can be written natively, but not in the LibOS."""
        entry = self.rootfs.find(folder)
        if files.writable is not Support.NO or entry is None or entry.type is not FileType.DIRECTORY:
            return False
        return self.may(entry, 2) and self._is_kept(entry.path, files)

    def cannot_make(self, path: str, files: FileSupport) -> bool:
        """Tell whether the user can make a file or folder natively, or has it, but not in the LibOS."""
        if files.writable is not Support.NO:
            return False
        try:
            passed, canonical = self.rootfs.way(path)
        except OSError:
            return False
        folders = [entry for entry in passed if entry.type is FileType.DIRECTORY]
        nearest = folders[-1] if folders else self.rootfs.get("")
        if self.rootfs.get(canonical) is None and nearest is not None and not self.may(nearest, 2):
            return False
        return self._is_kept(canonical, files)

    def _is_kept(self, canonical: str, files: FileSupport) -> bool:
        """Tell whether a place is neither in memory nor opened by a build."""
        opened = (*(f"/{name}" for name in files.memory), *self.writable)
        return not any(f"/{canonical}/".startswith(f"{place.rstrip('/')}/") for place in opened)

    def may(self, entry: Entry, wanted: int) -> bool:
        """Tell whether the user has the right ``wanted``: 4 to read, 1 to search a folder (access(2))."""
        if self.uid == 0:
            return True
        shift = 6 if entry.uid == self.uid else 3 if entry.gid in self.gids else 0
        return bool(entry.mode >> shift & wanted)

    def closed_folder(self, folder: Entry) -> Entry | None:
        """Return the first folder on the way from the root to ``folder`` that the user may not search."""
        names = folder.path.split("/") if folder.path else []
        ways = ("/".join(names[:count]) for count in range(len(names) + 1))
        return next(
            (entry for way in ways if (entry := self.rootfs.get(way)) and not self.may(entry, 1)), None
        )
