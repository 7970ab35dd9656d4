"""What ``enclavize run`` does in an engine's place for images that are started by what they say, as Occlum's.

Images of other LibOSes are all started by their runelet. Occlum also wants three files in /etc that engines
make, and ends without a message where one of them is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.libos.formats import format_for
from enclavize.oci.storage import storage_errors
from enclavize.rune.container import BindMount
from enclavize.tee.contents import TeeContents
from enclavize.tee.layout import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.tee.description import TeeDescription
    from enclavize.tee.instance import Start


def start_of(description: TeeDescription, tree: Path) -> Start:
    """Return what the enclave says of its start; whether it is admitted is still to be seen.

    Raises EnclavizeError.
    """
    form = format_for(description.libos)
    return form.start(TeeContents(description=description, format=form, folder=tree / ROOT, hashes={}))


def network_files(bundle: Path, name: str) -> tuple[BindMount, ...]:
    """Make the files of a container without a network. Raises EnclavizeError."""
    texts = {
        "hostname": f"{name}\n",
        "hosts": f"127.0.0.1 localhost\n127.0.1.1 {name}\n",
        "resolv.conf": "",
    }
    folder = bundle / "etc"
    with storage_errors("write", folder):
        folder.mkdir(mode=0o755)
        for file, text in texts.items():
            (folder / file).write_text(text)
    return tuple(
        BindMount(source=folder / file, destination=f"/etc/{file}", read_only=True) for file in texts
    )
