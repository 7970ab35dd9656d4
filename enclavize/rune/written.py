"""What a container writes to a converted image that it shares with others: above the tree, on its own.

    TREE/users/HEX              the daemon's note about a container (enclavize/node/trees.py)
    TREE/users/HEX.written/N/   upper and work folder of an overlay over the Nth folder that is written to

Each start of a container begins with empty ones. The daemon removes them with its note.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError
from enclavize.oci.storage import storage_errors
from enclavize.tee.layout import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

USERS = "users"
SUFFIX = ".written"
_SEPARATORS = frozenset(',:\\"')
"""Characters that have a meaning in the options of an overlay (mount(8))."""


def note_name(bundle: str) -> str:
    """Return the name of the note about the container that has a bundle."""
    return hashlib.sha256(os.fsencode(bundle)).hexdigest()


def written_mounts(tree: Path, bundle: Path, folders: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Make the folders; yield the mounts by which a container can write below ``/.enclave``.

    Raises EnclavizeError.
    """
    if _SEPARATORS & set(str(tree)):
        raise EnclavizeError(
            f"overlays cannot be mounted from {tree}", hint="give the node's daemon another --cache"
        )
    own = tree / USERS / f"{note_name(str(bundle))}{SUFFIX}"
    with storage_errors("write", own):
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir(mode=0o700)
        for number, folder in enumerate(folders):
            lower, place = tree / ROOT / folder, own / str(number)
            for name in ("upper", "work"):
                (place / name).mkdir(parents=True)
            (place / "upper").chmod(lower.stat().st_mode & 0o1777)
            options = [f"lowerdir={lower}", f"upperdir={place / 'upper'}", f"workdir={place / 'work'}"]
            yield {
                "destination": f"/{ROOT}/{folder}",
                "type": "overlay",
                "source": "overlay",
                "options": [*options, "nosuid", "nodev"],
            }
