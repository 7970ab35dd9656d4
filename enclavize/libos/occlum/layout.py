"""Names in an instance directory (occlum/occlum, tools/occlum and tools/occlum_build.mk)."""

CONFIGURATION = "Occlum.json"
STATUS = ".__occlum_status"
SGX_MODE = ".sgx_mode"
IMAGE = "image"
INITFS = "initfs"
INIT_RA = "init_ra_conf.json"
BUILD = "build"
RUN = "run"

# Below BUILD.
SIGNED_ENCLAVE = "lib/libocclum-libos.signed.so"
PAL = "lib/libocclum-pal.so"
ENCLAVE_XML = "Enclave.xml"
IMAGE_CONFIG = "image_config.json"
ROOT_IMAGE = "mount/__ROOT"
ROOT_MAC = "mount/.ROOT_MAC"
INIT_IMAGE = "initfs/__ROOT"
INIT_MAC = "initfs/.ROOT_MAC"
SYSTEM_CONFIGURATION = ".Occlum_sys.json"
USER_CONFIGURATION = "Occlum.json"
"""Up to 0.29.5: made of the instance's own Occlum.json."""

PROTECTED = ".protected"
"""What the name of a protected file has at its end."""

PROGRAMS = ("occlum-run", "occlum_exec_client", "occlum_exec_server")
"""Below ``build/bin``."""

RUN_DIRECTORIES = ("run/mount/__ROOT", "run/initfs/__ROOT")
"""Where the LibOS writes: empty until it runs."""

# In the init file system.
IMAGE_KEY = b"etc/image_key"
