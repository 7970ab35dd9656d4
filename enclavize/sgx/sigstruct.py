"""SIGSTRUCT: the 1808 bytes by which a signer vouches for an enclave.

Source: SDM volume 3D, "Enclave Signature Structure (SIGSTRUCT)"; ``structures.SIGSTRUCT_FIELDS`` has its
layout. The signature is RSA-3072, e = 3, PKCS#1 v1.5 with SHA-256, over bytes [0,128) and [900,1028).
Modulus, signature, Q1 and Q2 are stored little-endian, short values padded with zeros at the high end.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from enclavize.errors import IntegrityError, SigningRefusedError
from enclavize.sgx.measurement import Measurement
from enclavize.sgx.structures import (
    RSA_EXPONENT,
    RSA_KEY_BYTES,
    SIGSTRUCT_FIELDS,
    SIGSTRUCT_SIZE,
    Attributes,
)

if TYPE_CHECKING:
    import datetime as dt

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

SIGNED_SIZE = 256
_HEADER_SIZE = 128  # signed: [0, 128)
_BODY_START = 900  # and [900, 1028)
_BODY_END = _BODY_START + SIGNED_SIZE - _HEADER_SIZE

HEADER = bytes.fromhex("06000000e100000000000100")
HEADER2 = bytes.fromhex("01010000600000006000000001000000")
TYPE_RELEASE = 0x80000000
VENDOR_INTEL = 0x8086

_FIELDS = {field.name: field for field in SIGSTRUCT_FIELDS}
_UNSIGNED = bytes(RSA_KEY_BYTES)


@dataclass(frozen=True, kw_only=True)
class Sigstruct:
    """A SIGSTRUCT; without ``modulus`` and ``signature`` (all zero) it is one that is not signed yet.

    ``date`` is the number 0xYYYYMMDD in BCD. ``modulus``, ``signature``, ``q1``, ``q2`` are 384 bytes,
    little-endian.
    """

    measurement: Measurement
    date: int
    modulus: bytes = _UNSIGNED
    signature: bytes = _UNSIGNED
    q1: bytes = _UNSIGNED
    q2: bytes = _UNSIGNED

    @property
    def is_signed(self) -> bool:
        return self.modulus != _UNSIGNED

    @property
    def mrenclave(self) -> bytes:
        return self.measurement.mrenclave

    @property
    def mrsigner(self) -> bytes:
        """SHA-256 of the modulus, as SIGSTRUCT stores it."""
        return hashlib.sha256(self.modulus).digest()

    def to_bytes(self) -> bytes:
        m = self.measurement
        values = {
            "HEADER": HEADER,
            "TYPE": _u32(m.header_type),
            "VENDOR": _u32(m.vendor),
            "DATE": _u32(self.date),
            "HEADER2": HEADER2,
            "SWDEFINED": _u32(m.swdefined),
            "MODULUS": self.modulus,
            "EXPONENT": _u32(RSA_EXPONENT if self.is_signed else 0),
            "SIGNATURE": self.signature,
            "MISCSELECT": _u32(m.misc_select),
            "MISCMASK": _u32(m.misc_mask),
            "ISVFAMILYID": m.isv_family_id,
            "ATTRIBUTES": m.attributes.to_bytes(),
            "ATTRIBUTEMASK": m.attributes_mask.to_bytes(),
            "ENCLAVEHASH": m.mrenclave,
            "ISVEXTPRODID": m.isvext_prod_id,
            "ISVPRODID": m.isv_prod_id.to_bytes(2, "little"),
            "ISVSVN": m.isv_svn.to_bytes(2, "little"),
            "Q1": self.q1,
            "Q2": self.q2,
        }
        data = bytearray(SIGSTRUCT_SIZE)
        for name, value in values.items():
            data[_FIELDS[name].slice] = value
        return bytes(data)

    def signed_bytes(self) -> bytes:
        """The 256 bytes that the signature covers: header, then body."""
        data = self.to_bytes()
        return data[:_HEADER_SIZE] + data[_BODY_START:_BODY_END]

    @classmethod
    def parse(cls, data: bytes) -> Sigstruct:
        """Reads the 1808 bytes. Constants and reserved bytes must be as EINIT wants them; ``verify`` checks
        the rest.

        Raises ``IntegrityError``.
        """
        if len(data) != SIGSTRUCT_SIZE:
            raise IntegrityError(f"a SIGSTRUCT has {SIGSTRUCT_SIZE} bytes, not {len(data)}")
        if data[_FIELDS["HEADER"].slice] != HEADER or data[_FIELDS["HEADER2"].slice] != HEADER2:
            raise IntegrityError("not a SIGSTRUCT: its header constants are wrong")
        for field in SIGSTRUCT_FIELDS:
            if field.name.startswith("RESERVED") and any(data[field.slice]):
                raise IntegrityError(f"SIGSTRUCT: the reserved bytes at offset {field.offset} are not zero")

        def number(name: str) -> int:
            return int.from_bytes(data[_FIELDS[name].slice], "little")

        def raw(name: str) -> bytes:
            return bytes(data[_FIELDS[name].slice])

        modulus = raw("MODULUS")
        if number("EXPONENT") != (RSA_EXPONENT if modulus != _UNSIGNED else 0):
            raise IntegrityError(f"SIGSTRUCT: the exponent is {number('EXPONENT')}, not {RSA_EXPONENT}")
        measurement = Measurement(
            mrenclave=raw("ENCLAVEHASH"),
            attributes=Attributes.parse(raw("ATTRIBUTES")),
            attributes_mask=Attributes.parse(raw("ATTRIBUTEMASK")),
            misc_select=number("MISCSELECT"),
            misc_mask=number("MISCMASK"),
            isv_prod_id=number("ISVPRODID"),
            isv_svn=number("ISVSVN"),
            isv_family_id=raw("ISVFAMILYID"),
            isvext_prod_id=raw("ISVEXTPRODID"),
            swdefined=number("SWDEFINED"),
            vendor=number("VENDOR"),
            header_type=number("TYPE"),
        )
        return cls(
            measurement=measurement,
            date=number("DATE"),
            modulus=modulus,
            signature=raw("SIGNATURE"),
            q1=raw("Q1"),
            q2=raw("Q2"),
        )

    @classmethod
    def from_signed_bytes(cls, material: bytes) -> Sigstruct:
        """The unsigned SIGSTRUCT of which ``material`` is the 256 signed bytes. Raises ``IntegrityError``."""
        if len(material) != SIGNED_SIZE:
            raise IntegrityError(f"signing material has {SIGNED_SIZE} bytes, not {len(material)}")
        data = bytearray(SIGSTRUCT_SIZE)
        data[:_HEADER_SIZE] = material[:_HEADER_SIZE]
        data[_BODY_START:_BODY_END] = material[_HEADER_SIZE:]
        return cls.parse(bytes(data))

    def with_signature(self, signature: bytes, public_key: RSAPublicKey) -> Sigstruct:
        """This SIGSTRUCT, signed.

        ``signature`` is 384 bytes big-endian, as OpenSSL writes it. It is verified before it is accepted;
        raises ``SigningRefusedError`` for a key that SGX does not take and ``IntegrityError`` for a signature
        that does not fit.
        """
        numbers = public_key.public_numbers()
        if numbers.n.bit_length() != 8 * RSA_KEY_BYTES:
            raise SigningRefusedError(
                f"SGX takes RSA keys of {8 * RSA_KEY_BYTES} bits, this one has {numbers.n.bit_length()}"
            )
        if numbers.e != RSA_EXPONENT:
            raise SigningRefusedError(
                f"SGX takes RSA keys with exponent {RSA_EXPONENT}, this one has {numbers.e}"
            )
        if len(signature) != RSA_KEY_BYTES:
            raise IntegrityError(f"an RSA-3072 signature has {RSA_KEY_BYTES} bytes, not {len(signature)}")
        number = int.from_bytes(signature, "big")
        if number >= numbers.n:
            raise IntegrityError("the signature was made with another key")
        q1, q2 = _quotients(number, numbers.n)
        signed = replace(
            self,
            modulus=_little_endian(numbers.n),
            signature=_little_endian(number),
            q1=_little_endian(q1),
            q2=_little_endian(q2),
        )
        signed.verify()
        return signed

    def verify(self) -> None:
        """Checks what EINIT checks of a SIGSTRUCT alone: key, signature, Q1 and Q2. Raises
        ``IntegrityError``.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        if not self.is_signed:
            raise IntegrityError("the SIGSTRUCT is not signed")
        signature = int.from_bytes(self.signature, "little")
        modulus = int.from_bytes(self.modulus, "little")
        if modulus.bit_length() != 8 * RSA_KEY_BYTES or signature >= modulus:
            raise IntegrityError("SIGSTRUCT: modulus or signature is out of range")
        try:
            self.public_key().verify(self.signature[::-1], self.signed_bytes(), PKCS1v15(), SHA256())
        except InvalidSignature as error:
            raise IntegrityError("SIGSTRUCT: the signature does not fit its content and key") from error
        q1, q2 = _quotients(signature, modulus)
        if self.q1 != _little_endian(q1) or self.q2 != _little_endian(q2):
            raise IntegrityError("SIGSTRUCT: Q1 or Q2 does not follow from signature and modulus")

    def public_key(self) -> RSAPublicKey:
        """The signer's key. Raises ``IntegrityError`` where the modulus cannot be one."""
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

        try:
            return RSAPublicNumbers(RSA_EXPONENT, int.from_bytes(self.modulus, "little")).public_key()
        except ValueError as error:
            raise IntegrityError("SIGSTRUCT: the modulus is not that of an RSA key") from error


def bcd_date(date: dt.date) -> int:
    """2026-11-23 -> 0x20261123."""
    return int(f"{date:%Y%m%d}".rjust(8, "0"), 16)


def _quotients(signature: int, modulus: int) -> tuple[int, int]:
    """Q1 = floor(S^2 / M) and Q2 = floor((S^3 - Q1*S*M) / M), which spare the CPU two long divisions."""
    q1, remainder = divmod(signature * signature, modulus)
    return q1, signature * remainder // modulus


def _little_endian(number: int) -> bytes:
    return number.to_bytes(RSA_KEY_BYTES, "little")


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "little")
