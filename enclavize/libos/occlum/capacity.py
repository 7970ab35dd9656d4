"""What the files of a root file system take beside it: kernel heap, and open files of the host.

Occlum's file cache keeps both for each file that was used, and ends without a message when one is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.compat.profile import profile_for
from enclavize.compat.sizes import descriptors_for_files, heap_for_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.libos.occlum.configuration import Configuration

_USUAL_DESCRIPTORS = 1024
"""What a process may have open where nobody says more."""


def capacity_warnings(
    configuration: Configuration, entries: int, *, started: int = 0, setting: str
) -> Iterator[str]:
    """Yield what all files would need beyond what there is. ``setting`` tells the cure, ``{}`` are MB.

    ``started`` are the bytes of the program's file, where it is known.
    """
    sizes, limits = profile_for("occlum", version=str(configuration.release)).sizes, configuration.limits
    heap = limits.kernel_heap_max if configuration.edmm else limits.kernel_heap_init
    if heap < (least := heap_for_files(sizes, 0, started)):
        yield (
            f"the program's file has {-(-started >> 20)}M, and the kernel heap {heap >> 20}M: Occlum cannot "
            f"start it with less than {least >> 20}M ({setting.format(least >> 20)})"
        )
    elif heap < (wanted := heap_for_files(sizes, entries, started)):
        yield (
            f"the image has {entries} files and folders, and a kernel heap of {heap >> 20}M: if the program "
            f"uses them all, it takes {wanted >> 20}M ({setting.format(wanted >> 20)})"
        )
    if (descriptors := descriptors_for_files(sizes, entries)) > _USUAL_DESCRIPTORS:
        yield (
            f"each file that is used stays open on the host: for all of them {descriptors} open files must "
            f"be allowed (ulimit -n, docker run --ulimit nofile={descriptors})"
        )
