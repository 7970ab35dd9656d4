"""What a signer is given: the 256 bytes that SIGSTRUCT signs, and for whom they are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from enclavize.errors import IntegrityError
from enclavize.sgx.sigstruct import Sigstruct


@dataclass(frozen=True, kw_only=True)
class SigningMaterial:
    """``header_and_body``: SIGSTRUCT bytes [0,128) and [900,1028). ``description`` names the enclave for a
    person.

    The bytes are those of ``sgx_sign gendata``, so any RSA tool can sign them: ``openssl dgst -sha256
    -sign``. They are always those of a SIGSTRUCT, so that no signer can be given others, such as the payload
    of an image signature; raises ``IntegrityError``.
    """

    header_and_body: bytes
    description: str = ""

    def __post_init__(self) -> None:
        _ = self.sigstruct

    @classmethod
    def of(cls, sigstruct: Sigstruct, description: str = "") -> SigningMaterial:
        return cls(header_and_body=sigstruct.signed_bytes(), description=description)

    @cached_property
    def sigstruct(self) -> Sigstruct:
        """The unsigned SIGSTRUCT."""
        return Sigstruct.from_signed_bytes(self.header_and_body)

    def check_describes(self, expected: Sigstruct) -> None:
        """Raises ``IntegrityError`` unless the material is that of ``expected``, its date aside."""
        ours, theirs = expected.measurement, self.sigstruct.measurement
        if ours == theirs:
            return
        if ours.mrenclave != theirs.mrenclave:
            raise IntegrityError(
                f"the signing material is for another enclave: its MRENCLAVE is {theirs.mrenclave.hex()}, "
                f"this enclave measures {ours.mrenclave.hex()}"
            )
        fields = [name for name in vars(ours) if getattr(ours, name) != getattr(theirs, name)]
        raise IntegrityError(
            f"the signing material is for another configuration of this enclave: {', '.join(fields)} differ"
        )
