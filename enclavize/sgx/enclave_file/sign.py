"""Measures an unsigned enclave file, and writes it signed."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.errors import IntegrityError, UsageError
from enclavize.sgx.atomic_file import write_output
from enclavize.sgx.enclave_file.attributes import measurement_of
from enclavize.sgx.enclave_file.build import build_blocks
from enclavize.sgx.enclave_file.elf import parse_elf
from enclavize.sgx.enclave_file.generation import generation_of
from enclavize.sgx.enclave_file.linking import (
    ENTRY_SYMBOL,
    GLOBAL_DATA_SYMBOL,
    check_relocations,
    exported_symbols,
    text_relocations,
)
from enclavize.sgx.enclave_file.load import measure
from enclavize.sgx.enclave_file.metadata import parse_blocks
from enclavize.sgx.errors import InvalidEnclaveError
from enclavize.sgx.sigstruct import Sigstruct

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from enclavize.sgx.enclave_file.build import Blocks
    from enclavize.sgx.enclave_file.config import EnclaveConfig
    from enclavize.sgx.enclave_file.elf import EnclaveElf
    from enclavize.sgx.enclave_file.generation import Generation
    from enclavize.sgx.enclave_file.metadata import Metadata
    from enclavize.sgx.measurement import Measurement

MAX_FILE_SIZE = 1 << 30
_DEFAULT_MODE = 0o644


@dataclass(frozen=True, kw_only=True)
class UnsignedEnclave:
    """An enclave file that was measured under a configuration. ``mode`` has its permission bits."""

    image: bytes
    mode: int
    measurement: Measurement
    blocks: tuple[Metadata, ...]
    metadata_offset: int
    metadata_size: int

    def signed_image(self, sigstruct: Sigstruct) -> Iterator[bytes | memoryview]:
        """The signed file: only the metadata differs from the unsigned one. Raises ``IntegrityError``."""
        if sigstruct.measurement != self.measurement:
            raise IntegrityError("the SIGSTRUCT is not that of this enclave and configuration")
        sigstruct.verify()
        return self._with_metadata(sigstruct)

    def prepared_image(self, date: int) -> Iterator[bytes | memoryview]:
        """The file with its metadata and an unsigned SIGSTRUCT: ready to be signed elsewhere.

        Whoever has it can measure it again without the configuration.
        """
        return self._with_metadata(Sigstruct(measurement=self.measurement, date=date))

    def _with_metadata(self, sigstruct: Sigstruct) -> Iterator[bytes | memoryview]:
        blocks = b"".join(block.with_sigstruct(sigstruct.to_bytes()).data for block in self.blocks)
        image = memoryview(self.image)
        yield image[: self.metadata_offset]
        yield blocks.ljust(self.metadata_size, b"\0")
        yield image[self.metadata_offset + self.metadata_size :]


def measure_enclave(
    source: Path | bytes,
    config: EnclaveConfig,
    *,
    resign: bool = False,
    ignore_text_relocations: bool = False,
    ignore_init_section: bool = False,
) -> UnsignedEnclave:
    """Measures the enclave in a file, or in memory.

    ``resign`` accepts a file that is signed already; its metadata is replaced. Raises ``InvalidEnclaveError``
    for a file that is no enclave of a known SDK, ``UsageError`` for a configuration that does not fit it.
    """
    image, mode = read_enclave(source)
    elf = parse_elf(image)
    blocks, generation = _build_metadata(
        elf,
        config,
        resign=resign,
        ignore_text_relocations=ignore_text_relocations,
        ignore_init_section=ignore_init_section,
    )
    return UnsignedEnclave(
        image=image,
        mode=mode,
        measurement=measurement_of(config, generation, measure(elf, blocks.primary)),
        blocks=blocks.written,
        metadata_offset=elf.metadata_offset,
        metadata_size=generation.metadata_size,
    )


def check_metadata(source: bytes, config: EnclaveConfig, sigstruct: Sigstruct) -> None:
    """Compares the metadata of a signed enclave with what signing it under ``config`` writes.

    MRENCLAVE leaves out what only tells the loader what to do, and what no loader reads. Raises
    ``IntegrityError``, ``InvalidEnclaveError``, ``UsageError`` for a configuration that does not fit.
    """
    elf = parse_elf(source)
    blocks, _ = _build_metadata(
        elf, config, resign=True, ignore_text_relocations=False, ignore_init_section=False
    )
    data = b"".join(block.with_sigstruct(sigstruct.to_bytes()).data for block in blocks.written)
    found = elf.image[elf.metadata_offset : elf.metadata_offset + elf.metadata_size]
    if found != data.ljust(elf.metadata_size, b"\0"):
        raise IntegrityError("the metadata of the enclave is not that of its configuration")


def _build_metadata(
    elf: EnclaveElf,
    config: EnclaveConfig,
    *,
    resign: bool,
    ignore_text_relocations: bool,
    ignore_init_section: bool,
) -> tuple[Blocks, Generation]:
    symbols = exported_symbols(elf)
    check_relocations(elf)
    if elf.section_named(b".ctors"):
        raise InvalidEnclaveError("the enclave has a section .ctors, whose functions would not be called")
    if elf.section_named(b".init") and not ignore_init_section:
        raise InvalidEnclaveError("the enclave has a section .init, which would not be called")
    if not ignore_text_relocations and (relocations := text_relocations(elf)):
        raise InvalidEnclaveError(f"the enclave has a relocation in its code, at {relocations[0]:#x}")
    if not (entry := symbols[ENTRY_SYMBOL]):
        raise InvalidEnclaveError("the enclave has no entry point: neither enclave_entry nor e_entry")
    if not any(segment.first_page <= entry < segment.end_page for segment in elf.segments):
        raise InvalidEnclaveError(f"the entry point {entry:#x} lies outside the enclave's segments")
    if GLOBAL_DATA_SYMBOL not in symbols:
        raise InvalidEnclaveError("the enclave has no symbol g_global_data: it is not linked with an SGX SDK")
    global_data_offset, generation = _global_data(elf, symbols[GLOBAL_DATA_SYMBOL])
    if elf.metadata_size < generation.metadata_size:
        raise InvalidEnclaveError(
            f".note.sgxmeta has room for {elf.metadata_size:#x} bytes, not {generation.metadata_size:#x}"
        )
    description = elf.image[elf.metadata_offset : elf.metadata_offset + elf.metadata_size]
    if not resign and parse_blocks(description):
        raise InvalidEnclaveError(
            "the enclave is signed already", hint="Sign the unsigned file, or resign it."
        )
    blocks = build_blocks(elf, config, generation, entry=entry, global_data_offset=global_data_offset)
    if sum(len(block.data) for block in blocks.written) > generation.metadata_size:
        raise UsageError("the metadata of this configuration does not fit .note.sgxmeta")
    return blocks, generation


def write_signed(unsigned: UnsignedEnclave, sigstruct: Sigstruct, output: Path) -> None:
    """Writes the signed file, whole or not at all, with the unsigned file's mode bits.

    Raises ``IntegrityError`` if ``sigstruct`` is not that of ``unsigned``, ``UsageError`` if it cannot be
    written.
    """
    write_output(output, unsigned.signed_image(sigstruct), mode=unsigned.mode)


def read_enclave(source: Path | bytes) -> tuple[bytes, int]:
    """The file's bytes, read once, and its permission bits."""
    if isinstance(source, bytes):
        return source, _DEFAULT_MODE
    try:
        with source.open("rb") as file:
            image = file.read(MAX_FILE_SIZE + 1)
        mode = stat.S_IMODE(source.stat().st_mode) & 0o777
    except OSError as error:
        raise UsageError(f"cannot read the enclave {source}: {error.strerror}") from error
    if len(image) > MAX_FILE_SIZE:
        raise InvalidEnclaveError(f"{source} is larger than an enclave file can be")
    return image, mode


def _global_data(elf: EnclaveElf, address: int) -> tuple[int, Generation]:
    offset = elf.file_offset(address, 8)
    generation = generation_of(int.from_bytes(elf.image[offset : offset + 8], "little"))
    return elf.file_offset(address, generation.global_data_size), generation
