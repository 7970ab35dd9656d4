"""What changed between the releases of Occlum, as far as the making of an instance is concerned.

Source: github.com/occlum/occlum, tags 0.21.0 to v0.31.0: tools/occlum, tools/occlum_build.mk,
tools/gen_internal_conf, tools/init, etc/template/Occlum.json; the commit of occlum/sefs that each one pins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.libos.occlum.sefs.structures import NARROW, UNTYPED, WIDE

if TYPE_CHECKING:
    from enclavize.libos.occlum.sefs.structures import Records

_OLDEST = (0, 21, 0)
_NEWEST_SERIES = (0, 31)
_TEXT = re.compile(r"v?(\d{1,5})\.(\d{1,5})\.(\d{1,5})")


class Change(Enum):
    """Something that an instance has from a release on."""

    IMAGE_TYPE = (0, 22, 0)
    """image_config.json says whether the image is encrypted; the key is a file of its own."""
    TYPED_ENTRIES = (0, 23, 0)
    """SEFS: entries of directories say of which type they are."""
    SHARED_USER_SPACE = (0, 24, 0)
    """Processes share the user space; before, each one has room for its mappings of its own."""
    KSS = (0, 26, 1)
    """metadata.enable_kss, family_id and ext_prod_id."""
    SHORT_SCRIPTS = (0, 26, 3)
    """A script may have less than 64 bytes."""
    WIDE_TIMES = (0, 26, 4)
    """SEFS: times of inodes have 64 bits."""
    PKRU = (0, 28, 0)
    """metadata.pkru."""
    DYNAMIC_KERNEL_HEAP = (0, 29, 4)
    """resource_limits.kernel_space_heap_max_size; up to 4096 threads where the CPU can add them."""
    CACHE_SIZE = (0, 29, 5)
    """The mount option cache_size."""
    ONE_CONFIGURATION = (0, 29, 6)
    """One measured configuration in place of two; /proc and /dev are mounted without being asked for."""
    EDMM = (0, 30, 0)
    """An enclave for SGX 2 is another one than for SGX 1; AMX."""
    FEATURE = (0, 30, 1)
    """The object ``feature`` in place of metadata.pkru; metadata.disable_log."""
    THREADS_UNBOUND = (0, 31, 0)
    """TCSPolicy 0; feature.io_uring; the mount option disk_size and ext2."""


@dataclass(frozen=True, order=True)
class Release:
    """A release of Occlum."""

    number: tuple[int, int, int]

    def has(self, change: Change) -> bool:
        """Whether the release has what an older one may not have."""
        return self.number >= change.value

    def __str__(self) -> str:
        return ".".join(map(str, self.number))

    @property
    def sefs_records(self) -> Records:
        """The records of the file system images that the release mounts."""
        if self.has(Change.WIDE_TIMES):
            return WIDE
        return NARROW if self.has(Change.TYPED_ENTRIES) else UNTYPED

    @property
    def major(self) -> int:
        """The number in the names of Occlum's libraries."""
        return self.number[0]


def parse_release(text: str) -> Release:
    """Read a version as toolchains tell it. Raises UsageError for one that instances cannot be made for."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise UsageError(f"{text[:40]!r} is no version of Occlum")
    release = Release((int(match[1]), int(match[2]), int(match[3])))
    if release.number < _OLDEST or release.number[:2] > _NEWEST_SERIES:
        raise UsageError(
            f"instances for Occlum {release} cannot be made: only for {_dotted(_OLDEST)} to "
            f"{_dotted(_NEWEST_SERIES)}.x",
            hint="take a toolchain of another version",
        )
    return release


def _dotted(number: tuple[int, ...]) -> str:
    return ".".join(map(str, number))
