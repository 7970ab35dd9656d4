"""What a verifier wants of a TEE image, beyond that it is consistent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from enclavize.tee.image_trust import ImageExpectations
from enclavize.tee.outside import LibosExpectations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.tee.verify import Identity


@dataclass(frozen=True, kw_only=True)
class Expectations:
    """Conditions; an empty one is not checked. Signers and measurements are MRSIGNER and MRENCLAVE in hex."""

    signers: frozenset[str] = frozenset()
    measurements: frozenset[str] = frozenset()
    isv_prod_id: int | None = None
    min_svn: int | None = None
    allow_debug: bool = False
    allow_any_signer: bool = False
    image: ImageExpectations = field(default_factory=ImageExpectations)
    libos: LibosExpectations = field(default_factory=LibosExpectations)

    @property
    def name_somebody(self) -> bool:
        """Whether an image of a stranger would be refused."""
        return bool(self.signers or self.measurements)

    def objections(self, identity: Identity) -> Iterator[str]:
        """Yield the reasons not to trust an enclave."""
        if identity.mrsigner is None:
            yield "it is unsigned: no enclave can be started from it"
        elif self.signers and identity.mrsigner not in self.signers:
            yield f"it is signed by {identity.mrsigner}, who is not a trusted signer"
        if self.measurements and identity.mrenclave not in self.measurements:
            yield f"its MRENCLAVE is {identity.mrenclave}, which is not a trusted one"
        if self.isv_prod_id is not None and identity.isv_prod_id != self.isv_prod_id:
            yield f"its product id is {identity.isv_prod_id}, not {self.isv_prod_id}"
        if self.min_svn is not None and identity.isv_svn < self.min_svn:
            yield f"its security version is {identity.isv_svn}, lower than {self.min_svn}"
        if identity.debug and not self.allow_debug:
            yield "it is a debug image: whoever runs it can read and change the enclave"
        if identity.mrsigner and not self.name_somebody and not self.allow_any_signer:
            yield "it is consistent, but the signer was NOT checked"
