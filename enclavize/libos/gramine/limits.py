"""What Gramine's loader refuses when it reads a manifest: better said when the image is built.

Source: Gramine 1.9, pal/src/host/linux-sgx/host_main.c, pal_main.c and pal_rpc_queue.h; libos/src/sys.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from enclavize.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_THREADS = 4096
MAX_RPC_THREADS = 256
RPC_QUEUE_SIZE = 1024
MAX_DESCRIPTORS = 65536
"""MAX_DBG_THREADS, MAX_RPC_THREADS, RPC_QUEUE_SIZE and MAX_MAX_FDS there."""

_SIZE = re.compile(r"(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,19})[KMG]?", re.ASCII)


def check_limits(manifest: Mapping[str, Any]) -> None:
    """Compare the manifest with what the loader takes. Raises UsageError."""
    sgx, system = manifest["sgx"], manifest.get("sys", {})
    threads, rpc_threads = sgx["max_threads"], sgx.get("insecure__rpc_thread_num", 0)
    if threads > MAX_THREADS:
        raise UsageError(
            f"sgx.max_threads is {threads}, Gramine's own included: its loader takes at most {MAX_THREADS}",
            hint="lower --set threads=",
        )
    if not 0 <= rpc_threads <= MAX_RPC_THREADS:
        raise _wrong("sgx.insecure__rpc_thread_num", f"it must be between 0 and {MAX_RPC_THREADS}")
    if rpc_threads and threads > RPC_QUEUE_SIZE:
        raise _wrong(
            "sgx.insecure__rpc_thread_num", f"more than {RPC_QUEUE_SIZE} threads cannot share a queue"
        )
    if sgx.get("preheat_enclave") and sgx.get("edmm_enable"):
        raise _wrong("sgx.preheat_enclave", "it contradicts sgx.edmm_enable")
    if not 0 <= system.get("fds", {}).get("limit", 0) <= MAX_DESCRIPTORS:
        raise _wrong("sys.fds.limit", f"it must be between 0 and {MAX_DESCRIPTORS}")
    for table, key in (("stack", "size"), ("brk", "max_size")):
        size = system.get(table, {}).get(key, "0")
        if not _SIZE.fullmatch(size):
            raise _wrong(f"sys.{table}.{key}", f'{size[:40]!r} is no size such as "256K" or "2M"')


def _wrong(key: str, problem: str) -> UsageError:
    return UsageError(f"[gramine] {key}: {problem}")
