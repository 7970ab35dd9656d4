"""Names in a TEE image (docs/tee-image.md, section 1)."""

FORMAT_VERSION = 2
"""What is written."""
FORMAT_VERSIONS = (1, 2)
"""What is read, and signed again as what it is."""

ROOT = ".enclave"
"""The folder of all our files, at the root of the image."""

MAX_DESCRIPTION_SIZE = 1 << 20
"""Bytes of ``enclave.json``; a larger file is refused before it is read."""

RUNELET = "bin/runelet"
DESCRIPTION = "enclave.json"
SIGNED_ENCLAVE = "instance/enclave.signed.so"
ROOTFS_IMAGE = "instance/rootfs.erofs"
ROOTFS_VERITY = "instance/rootfs.verity"

ENTRYPOINT = f"/{ROOT}/{RUNELET}"
HEALTH_COMMAND = ("CMD", ENTRYPOINT, "exec", "--health")
