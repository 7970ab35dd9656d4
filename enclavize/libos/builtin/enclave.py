"""The unsigned enclave of the builtin LibOS: where its configuration goes, and its layout when signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.errors import InvalidImageError
from enclavize.libos.builtin.config import CONFIGURATION_SIZE, CONFIGURATION_SYMBOL

if TYPE_CHECKING:
    from enclavize.sgx.enclave_file import EnclaveConfig

# native/include/abi.h
ELRANGE_START = 0x0
ELRANGE_SIZE = 0x10_0000_0000
ENCLAVE_IMAGE_ADDRESS = 0xF_0000_0000

STACK_SIZE = 0x4000
"""Bytes of the SDK's stack of a thread: its upper half serves entry, the lower phase 1 of exceptions."""

HEAP_SIZE = 0x1000
"""Bytes of the SDK's heap, which the LibOS does not use: its memory is dynamic."""

_EXINFO = 1
"""MISCSELECT: page faults report their address."""


def configuration_window(image: bytes) -> slice:
    """Return where the measured configuration stands in an enclave file. Raises InvalidImageError."""
    from enclavize.sgx.enclave_file.elf import parse_elf

    elf = parse_elf(image)
    symbol = elf.symbol(CONFIGURATION_SYMBOL.encode())
    if symbol is None:
        raise InvalidImageError(
            f"the enclave has no symbol {CONFIGURATION_SYMBOL}: it is not the builtin LibOS"
        )
    address, size = symbol
    if size != CONFIGURATION_SIZE:
        raise InvalidImageError(
            f"the enclave has {size} bytes for its configuration, not {CONFIGURATION_SIZE}"
        )
    start = elf.file_offset(address, size)
    return slice(start, start + size)


def with_configuration(image: bytes, configuration: bytes) -> bytes:
    """Return the unsigned enclave with its configuration. Raises InvalidImageError if it has one already."""
    window = configuration_window(image)
    if any(image[window]):
        raise InvalidImageError("the enclave has a measured configuration already")
    return image[: window.start] + configuration + image[window.stop :]


def read_configuration(image: bytes) -> bytes:
    """Return the 64 KiB of configuration of an enclave file. Raises InvalidImageError."""
    return image[configuration_window(image)]


def unconfigured(image: bytes) -> bytes:
    """Return the file as the compiler made it: without configuration, metadata and signature."""
    from enclavize.sgx.enclave_file.elf import parse_elf

    elf, window = parse_elf(image), configuration_window(image)
    code = bytearray(image)
    code[window] = bytes(window.stop - window.start)
    code[elf.metadata_offset : elf.metadata_offset + elf.metadata_size] = bytes(elf.metadata_size)
    return bytes(code)


def enclave_config(*, threads: int, isv_prod_id: int, isv_svn: int, debuggable: bool) -> EnclaveConfig:
    """Return the enclave's layout: one TCS a thread, nothing of it dynamic in the SDK's sense."""
    from enclavize.sgx.enclave_file import EnclaveConfig

    return EnclaveConfig(
        prod_id=isv_prod_id,
        isv_svn=isv_svn,
        disable_debug=0 if debuggable else 1,
        tcs_num=threads,
        tcs_min_pool=threads,
        stack_min_size=STACK_SIZE,
        stack_max_size=STACK_SIZE,
        heap_min_size=HEAP_SIZE,
        heap_init_size=HEAP_SIZE,
        heap_max_size=HEAP_SIZE,
        misc_select=_EXINFO,
        elrange_start_address=ELRANGE_START,
        elrange_size=ELRANGE_SIZE,
        enclave_image_address=ENCLAVE_IMAGE_ADDRESS,
    )
