"""What the rules look at: an image's files and what it starts, for all LibOSes alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from enclavize.compat.program import Program, find_program

if TYPE_CHECKING:
    from collections.abc import Mapping

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

    @cached_property
    def program(self) -> Program:
        """What the image starts: the same for all LibOSes."""
        if not self.arguments or not self.arguments[0]:
            return Program()
        return find_program(self.rootfs, self.arguments[0], self.working_directory, self.environment)

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
