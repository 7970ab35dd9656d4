"""Where the files of a Gramine instance are. Paths are below ``/.enclave``; docs/gramine.md, section 3."""

from __future__ import annotations

import posixpath
import re

from enclavize.tee.layout import ROOT, RUNELET

GRAMINE = "gramine"
LIBOS = f"{GRAMINE}/libsysdb.so"
SGX_LIBPAL = f"{GRAMINE}/sgx/libpal.so"
SGX_LOADER = f"{GRAMINE}/sgx/loader"
DIRECT_LIBPAL = f"{GRAMINE}/direct/libpal.so"
DIRECT_LOADER = f"{GRAMINE}/direct/loader"
RUNTIME = f"{GRAMINE}/runtime"
HOST = f"{GRAMINE}/host"

MANIFEST = "instance/app.manifest.sgx"
SIGNATURE = "instance/app.sig"
DIRECT_MANIFEST = "instance/app.manifest"
"""A link to the signed manifest: the loader of direct mode looks for this name."""
NETWORK_FILES = "instance/network"
DEFAULTS = "instance/defaults"
LIBRARY_CACHE = "instance/ld.so.cache"
"""By which Gramine's glibc finds the image's libraries."""

NETWORK_FILE_NAMES = ("hosts", "hostname", "resolv.conf")
"""Files of ``/etc`` that engines mount their own over."""

RUNTIME_LIBRARY = re.compile(r"[A-Za-z0-9_+-]+(?:-[0-9.]+)?\.so(?:\.[0-9]+)*")


_DIRECT, _INTERPRETERS = f"{GRAMINE}/direct/", ("ld-", "ld.")


def is_program(path: str) -> bool:
    """Whether a file is started: the runelet, loaders, and what is for direct mode."""
    if path in (RUNELET, SGX_LOADER) or path.startswith(_DIRECT):
        return True
    return path.startswith(f"{GRAMINE}/") and posixpath.basename(path).startswith(_INTERPRETERS)


def absolute(path: str) -> str:
    """Return where a file below ``/.enclave`` is in the container."""
    return f"/{ROOT}/{path}"


def uri(path: str) -> str:
    """Return the URI by which Gramine opens a file; ``path`` is absolute."""
    return f"file:{path}"
