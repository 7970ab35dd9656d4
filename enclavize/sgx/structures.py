"""The architectural structures of SGX: constants, and the layout of each structure as data.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3D, chapter "Enclave Access
Control and Data Structures". All numbers are little-endian.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag

PAGE_SIZE = 4096
EEXTEND_CHUNK = 256
MRENCLAVE_SIZE = 32
SIGSTRUCT_SIZE = 1808
TCS_SIZE = 72  # the architectural fields; the rest of the page is reserved
REPORT_SIZE = 432
RSA_KEY_BYTES = 384
RSA_EXPONENT = 3


class SecinfoFlags(IntFlag):
    """SECINFO.FLAGS: permissions in bits 0..2, the page type in bits 8..15."""

    R = 0x1
    W = 0x2
    X = 0x4
    TCS = 0x100
    REG = 0x200


class AttributeFlags(IntFlag):
    """ATTRIBUTES.FLAGS."""

    INIT = 0x1
    DEBUG = 0x2
    MODE64BIT = 0x4
    PROVISIONKEY = 0x10
    EINITTOKENKEY = 0x20
    CET = 0x40
    KSS = 0x80
    AEXNOTIFY = 0x400


class Xfrm(IntFlag):
    """ATTRIBUTES.XFRM: the bits of XCR0 that the enclave runs with."""

    LEGACY = 0x3  # x87 and SSE, always on
    AVX = 0x4
    MPX = 0x18
    AVX512 = 0xE0
    PKRU = 0x200
    AMX = 0x60000


class MiscSelect(IntFlag):
    """MISCSELECT: extended information in the SSA frame."""

    EXINFO = 0x1
    CPINFO = 0x2


class TcsFlags(IntFlag):
    """TCS.FLAGS."""

    DBGOPTIN = 0x1
    AEXNOTIFY = 0x2


class PageType(IntEnum):
    """SECINFO.FLAGS.PAGE_TYPE, bits 8..15."""

    SECS = 0
    TCS = 1
    REG = 2
    VA = 3
    TRIM = 4


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """ATTRIBUTES, 16 bytes: FLAGS (u64), XFRM (u64). Also the form of ATTRIBUTEMASK."""

    flags: int
    xfrm: int

    @property
    def debug(self) -> bool:
        return bool(self.flags & AttributeFlags.DEBUG)

    def to_bytes(self) -> bytes:
        return self.flags.to_bytes(8, "little") + self.xfrm.to_bytes(8, "little")

    @classmethod
    def parse(cls, data: bytes) -> Attributes:
        return cls(flags=int.from_bytes(data[:8], "little"), xfrm=int.from_bytes(data[8:16], "little"))


@dataclass(frozen=True)
class Field:
    """One field of a structure: the manual's name, offset and size in bytes, and where it is specified."""

    name: str
    offset: int
    size: int
    source: str = "SDM 3D"

    @property
    def slice(self) -> slice:
        return slice(self.offset, self.offset + self.size)


SIGSTRUCT_FIELDS = (
    Field("HEADER", 0, 12),
    Field("TYPE", 12, 4, "SGX SDK: part of the manual's 16-byte HEADER; bit 31 marks a release build"),
    Field("VENDOR", 16, 4),
    Field("DATE", 20, 4),
    Field("HEADER2", 24, 16),
    Field("SWDEFINED", 40, 4),
    Field("RESERVED_44", 44, 84),
    Field("MODULUS", 128, 384),
    Field("EXPONENT", 512, 4),
    Field("SIGNATURE", 516, 384),
    Field("MISCSELECT", 900, 4),
    Field("MISCMASK", 904, 4),
    Field("RESERVED_908", 908, 4),
    Field("ISVFAMILYID", 912, 16),
    Field("ATTRIBUTES", 928, 16),
    Field("ATTRIBUTEMASK", 944, 16),
    Field("ENCLAVEHASH", 960, 32),
    Field("RESERVED_992", 992, 16),
    Field("ISVEXTPRODID", 1008, 16),
    Field("ISVPRODID", 1024, 2),
    Field("ISVSVN", 1026, 2),
    Field("RESERVED_1028", 1028, 12),
    Field("Q1", 1040, 384),
    Field("Q2", 1424, 384),
)

TCS_FIELDS = (
    Field("STATE", 0, 8),
    Field("FLAGS", 8, 8),
    Field("OSSA", 16, 8),
    Field("CSSA", 24, 4),
    Field("NSSA", 28, 4),
    Field("OENTRY", 32, 8),
    Field("AEP", 40, 8),
    Field("OFSBASE", 48, 8),
    Field("OGSBASE", 56, 8),
    Field("OFSLIMIT", 64, 4),
    Field("OGSLIMIT", 68, 4),
)

SECS_FIELDS = (
    Field("SIZE", 0, 8),
    Field("BASEADDR", 8, 8),
    Field("SSAFRAMESIZE", 16, 4),
    Field("MISCSELECT", 20, 4),
    Field("ATTRIBUTES", 48, 16),
    Field("MRENCLAVE", 64, 32),
    Field("MRSIGNER", 128, 32),
    Field("CONFIGID", 192, 64),
    Field("ISVPRODID", 256, 2),
    Field("ISVSVN", 258, 2),
    Field("CONFIGSVN", 260, 2),
)

REPORT_FIELDS = (
    Field("CPUSVN", 0, 16),
    Field("MISCSELECT", 16, 4),
    Field("ISVEXTPRODID", 32, 16),
    Field("ATTRIBUTES", 48, 16),
    Field("MRENCLAVE", 64, 32),
    Field("MRSIGNER", 128, 32),
    Field("CONFIGID", 192, 64),
    Field("ISVPRODID", 256, 2),
    Field("ISVSVN", 258, 2),
    Field("CONFIGSVN", 260, 2),
    Field("ISVFAMILYID", 304, 16),
    Field("REPORTDATA", 320, 64),
    Field("KEYID", 384, 32),
    Field("MAC", 416, 16),
)


def pack_tcs(
    *,
    flags: int = 0,
    ossa: int,
    nssa: int,
    oentry: int,
    ofs_base: int,
    ogs_base: int,
    ofs_limit: int,
    ogs_limit: int,
) -> bytes:
    """The 72 architectural bytes of a TCS; STATE, CSSA and AEP are zero in one that is measured."""
    values = {
        "FLAGS": flags, "OSSA": ossa, "NSSA": nssa, "OENTRY": oentry, "OFSBASE": ofs_base,
        "OGSBASE": ogs_base, "OFSLIMIT": ofs_limit, "OGSLIMIT": ogs_limit,
    }  # fmt: skip
    return b"".join(values.get(field.name, 0).to_bytes(field.size, "little") for field in TCS_FIELDS)
