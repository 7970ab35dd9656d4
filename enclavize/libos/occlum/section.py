"""``.builtin_config``: the part of the enclave file in which the LibOS has the MAC of its configuration.

A page of it is measured, so MRENCLAVE stands for the configuration, and that for the file systems.

Source: src/libos/src/config.rs (a static of 47 bytes; 48 with a NUL up to 0.23.1) and
tools/occlum_build.mk of occlum/occlum, which replaces the section by the MAC and a newline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.errors import InvalidImageError, UsageError
from enclavize.libos.occlum.sefs.keys import notation, parse_notation

if TYPE_CHECKING:
    from enclavize.libos.occlum.versions import Release
    from enclavize.sgx.enclave_file.elf import EnclaveElf, Section

SECTION = b".builtin_config"
SIZE = 48
MAC_LENGTH = 47

_SINCE_NEWLINE = (0, 23, 2)


def with_mac(image: bytes, mac: bytes, release: Release) -> bytes:
    """Return the unsigned enclave with a MAC in it. Raises UsageError for a file that has no room for it."""
    from enclavize.sgx.elf_records import ELF64, SECTION_HEADER_SIZE
    from enclavize.sgx.enclave_file.elf import parse_elf

    elf = parse_elf(image)
    section = _section(elf)
    if any(elf.content(section)):
        raise UsageError("the enclave file of Occlum has the MAC of a configuration already")
    _check_room(elf, section)
    text = notation(mac).encode() + (b"\n" if release.number >= _SINCE_NEWLINE else b"\0")
    patched = bytearray(image)
    patched[section.offset : section.offset + SIZE] = text
    header = slice(section.header_offset, section.header_offset + SECTION_HEADER_SIZE)
    changed = ELF64.Elf_Shdr.parse(image[header])
    changed.sh_size = SIZE
    patched[header] = ELF64.Elf_Shdr.build(changed)
    return bytes(patched)


def read_mac(elf: EnclaveElf) -> bytes:
    """Return the MAC in an enclave file. Raises InvalidImageError."""
    try:
        content = bytes(elf.content(_section(elf)))
    except UsageError as error:
        raise InvalidImageError(str(error)) from error
    mac = parse_notation(content[:MAC_LENGTH].decode("ascii", "replace"))
    if mac is None:
        raise InvalidImageError(f"{SECTION.decode()} of the enclave file holds no MAC")
    return mac


def _section(elf: EnclaveElf) -> Section:
    section = elf.section_named(SECTION)
    if section is None:
        raise UsageError(
            f"the enclave file has no section {SECTION.decode()}: it is not Occlum's",
            hint="the toolchain's libocclum-libos.so must be the unsigned one",
        )
    return section


def _check_room(elf: EnclaveElf, section: Section) -> None:
    """Refuse a file in which the 48 bytes would reach into other data, or not be loaded."""
    if section.size not in {MAC_LENGTH, SIZE}:
        raise UsageError(f"{SECTION.decode()} of the enclave file has {section.size} bytes, not {MAC_LENGTH}")
    end = section.offset + SIZE  # what is beyond the segment is not loaded: the newline need not be
    for other in elf.sections:
        if other is not section and section.offset <= other.offset < end and other.size:
            raise UsageError(
                f"{SECTION.decode()} of the enclave file has no room: "
                f"{other.name.decode('latin-1')} begins in its last byte"
            )
    loaded = elf.file_offset(section.address, MAC_LENGTH) == section.offset
    if not loaded or len(elf.image) < end or any(elf.image[section.offset : end]):
        raise UsageError(f"{SECTION.decode()} of the enclave file is not where its segments say")
