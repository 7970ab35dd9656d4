"""What a client may have signed.

A bit of ATTRIBUTES is free for the host where ATTRIBUTEMASK is 0: a launch with it is as good as one that was
signed with it (SDM 3D, EINIT). So what is forbidden must be 0 in the flags and 1 in the mask.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.sgx.sigstruct import TYPE_RELEASE
from enclavize.sgx.structures import AttributeFlags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.sgx.sigstruct import Sigstruct

_HARMLESS = AttributeFlags.MODE64BIT | AttributeFlags.CET | AttributeFlags.KSS | AttributeFlags.AEXNOTIFY

# The processor ignores them; Intel's signing tool leaves them out of the mask.
_NOT_CHECKED = 0x00FF << 48
_ALL = (1 << 64) - 1


@dataclass(frozen=True, kw_only=True)
class SigningPolicy:
    """``measurements`` and ``product_ids``: None for any. ``attributes``: flags besides harmless ones."""

    measurements: frozenset[bytes] | None
    product_ids: frozenset[int] | None
    min_svn: int = 0
    attributes: int = 0
    vendors: frozenset[int] = frozenset({0})
    hw_versions: frozenset[int] = frozenset({0})

    def objections(self, sigstruct: Sigstruct) -> Iterator[str]:
        """The reasons not to sign, none if it may be signed."""
        wanted = sigstruct.measurement
        if self.measurements is not None and wanted.mrenclave not in self.measurements:
            yield "the measurement is not allowed"
        if self.product_ids is not None and wanted.isv_prod_id not in self.product_ids:
            yield f"the product id {wanted.isv_prod_id} is not allowed"
        if wanted.isv_svn < self.min_svn:
            yield f"the security version {wanted.isv_svn} is lower than {self.min_svn}"
        yield from self._attribute_objections(wanted.attributes.flags, wanted.attributes_mask.flags)
        if wanted.vendor not in self.vendors:
            yield f"the vendor {wanted.vendor:#x} is not allowed"
        if wanted.swdefined not in self.hw_versions:
            yield f"the hardware version {wanted.swdefined:#x} is not allowed"
        if wanted.header_type not in (0, TYPE_RELEASE):
            yield f"the type {wanted.header_type:#x} does not exist"
        if not _is_date(sigstruct.date):
            yield f"{sigstruct.date:#010x} is no date"

    def _attribute_objections(self, flags: int, mask: int) -> Iterator[str]:
        allowed = int(_HARMLESS | self.attributes)
        for text, bits in (
            ("asks for", flags & ~allowed),
            ("lets the host choose", ~mask & _ALL & ~(allowed | _NOT_CHECKED)),
        ):
            if bits:
                yield f"the enclave {text} attributes that are not allowed: {_names(bits)}"


def _names(bits: int) -> str:
    known = [flag for flag in AttributeFlags if bits & flag]
    rest = bits & ~sum(known)
    return ", ".join([*(str(flag.name) for flag in known), *([hex(rest)] if rest else [])])


def _is_date(date: int) -> bool:
    if date == 0:  # the vendors' tools write no date as zero
        return True
    try:
        text = f"{date:08x}"
        dt.date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return False
    return True
