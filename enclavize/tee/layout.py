"""Names in a TEE image (docs/tee-image.md, section 1)."""

ROOT = ".enclave"
"""The folder of all our files, at the root of the image."""

RUNELET = "bin/runelet"
DESCRIPTION = "enclave.json"
SIGNED_ENCLAVE = "instance/enclave.signed.so"
ROOTFS_IMAGE = "instance/rootfs.erofs"
ROOTFS_VERITY = "instance/rootfs.verity"

ENTRYPOINT = f"/{ROOT}/{RUNELET}"
HEALTH_COMMAND = ("CMD", ENTRYPOINT, "exec", "--health")
