"""One large blob to a registry and back, in little memory: ``python -m support.large_blob FOLDER BYTES``."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import new_hash, parse_digest
from enclavize.oci.media_types import OCI_LAYER
from enclavize.oci.registry.client import RegistryClient
from enclavize.oci.registry.upload import Transfer, push_blob
from support.registry import running_registry

MEMORY = 256 << 20
"""Bytes of data that the process may have: most of it is Python with its modules."""
PIECE = 1 << 20


def main() -> None:
    folder, size = Path(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    path = folder / "blob"
    with path.open("wb") as file:
        file.write(b"begin")
        file.truncate(size - 3)
        file.seek(0, 2)
        file.write(b"end")
    hasher = new_hash(parse_digest("sha256:" + "0" * 64))
    with path.open("rb") as file:
        while data := file.read(PIECE):
            hasher.update(data)
    digest = parse_digest(f"sha256:{hasher.hexdigest()}")
    descriptor = Descriptor(media_type=OCI_LAYER, digest=digest, size=size)
    with running_registry(folder / "registry") as registry:
        client = RegistryClient(registry.host)
        assert push_blob(client, "app", descriptor, lambda: path.open("rb")) is Transfer.UPLOADED
        assert push_blob(client, "app", descriptor, lambda: path.open("rb")) is Transfer.PRESENT
        count = 0
        with client.open_blob("app", descriptor) as stream:
            while data := stream.read(PIECE):
                count += len(data)
        client.close()
    assert count == size
    print("whole")


if __name__ == "__main__":
    main()
