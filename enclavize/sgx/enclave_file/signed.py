"""Reads a signed enclave file and measures it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.errors import IntegrityError
from enclavize.sgx.enclave_file.elf import parse_elf
from enclavize.sgx.enclave_file.load import measure
from enclavize.sgx.enclave_file.metadata import parse_blocks
from enclavize.sgx.enclave_file.sign import UnsignedEnclave, read_enclave
from enclavize.sgx.errors import InvalidEnclaveError
from enclavize.sgx.sigstruct import Sigstruct

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.sgx.enclave_file.elf import EnclaveElf
    from enclavize.sgx.enclave_file.metadata import Metadata


@dataclass(frozen=True, kw_only=True)
class SignedEnclave:
    """A signed enclave file. ``blocks`` are its metadata blocks, in the file's order; all carry
    ``sigstruct``.
    """

    elf: EnclaveElf
    blocks: tuple[Metadata, ...]
    sigstruct: Sigstruct

    def remeasure(self) -> bytes:
        """MRENCLAVE, from the file and its metadata alone. Raises ``IntegrityError`` where the blocks
        disagree.
        """
        measured = {measure(self.elf, block) for block in self.blocks}
        if len(measured) > 1:
            raise IntegrityError("the metadata blocks of the enclave describe different enclaves")
        return measured.pop()

    def unsigned(self, mode: int) -> UnsignedEnclave:
        """The same enclave, to be given a SIGSTRUCT; its metadata is the configuration. Raises
        ``IntegrityError`` if the SIGSTRUCT that it has, signed or not, is not that of the file.
        """
        self.check_measurement()
        return UnsignedEnclave(
            image=self.elf.image,
            mode=mode,
            measurement=self.sigstruct.measurement,
            blocks=self.blocks,
            metadata_offset=self.elf.metadata_offset,
            metadata_size=sum(len(block.data) for block in self.blocks),
        )

    def verify(self) -> None:
        """Checks signature, attributes and measurement, as EINIT would. Raises ``IntegrityError``."""
        self.sigstruct.verify()
        self.check_measurement()

    def check_metadata(self) -> None:
        """Checks that the metadata has no bytes that nobody reads. Raises ``IntegrityError``."""
        size = sum(len(block.data) for block in self.blocks)
        start = self.elf.metadata_offset
        rest = self.elf.image[start + size : start + self.elf.metadata_size]
        if any(rest) or not all(block.is_exact for block in self.blocks):
            raise IntegrityError("the metadata of the enclave has bytes that mean nothing")

    def check_measurement(self) -> None:
        """Checks that the SIGSTRUCT, signed or not, is that of this enclave. Raises ``IntegrityError``."""
        wanted, mask = self.sigstruct.measurement.attributes, self.sigstruct.measurement.attributes_mask
        for block in self.blocks:
            asked = block.attributes
            if (asked.flags ^ wanted.flags) & mask.flags or (asked.xfrm ^ wanted.xfrm) & mask.xfrm:
                raise IntegrityError("the enclave asks for attributes that its SIGSTRUCT does not allow")
        measured = self.remeasure()
        if measured != self.sigstruct.mrenclave:
            raise IntegrityError(
                f"the enclave measures {measured.hex()}, its SIGSTRUCT says {self.sigstruct.mrenclave.hex()}"
            )


def read_signed(source: Path | bytes) -> SignedEnclave:
    """Reads a signed enclave, verifies nothing. Raises ``InvalidEnclaveError`` or ``IntegrityError``."""
    image, _ = read_enclave(source)
    elf = parse_elf(image)
    blocks = parse_blocks(image[elf.metadata_offset : elf.metadata_offset + elf.metadata_size])
    if not blocks:
        raise InvalidEnclaveError("the enclave is not signed")
    if len({block.sigstruct_bytes for block in blocks}) > 1:
        raise IntegrityError("the metadata blocks of the enclave carry different SIGSTRUCTs")
    return SignedEnclave(elf=elf, blocks=blocks, sigstruct=Sigstruct.parse(blocks[0].sigstruct_bytes))


def remeasure(source: Path | bytes) -> bytes:
    """MRENCLAVE of a signed enclave file, as the loader computes it."""
    return read_signed(source).remeasure()
