"""What a client may have signed.

A bit of ATTRIBUTES, XFRM or MISCSELECT is free for the host where its mask is 0: a launch with it is as good
as one that was signed with it (SDM 3D, EINIT). So what is forbidden must be 0 in the field and 1 in the mask.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.sgx.sigstruct import TYPE_RELEASE
from enclavize.sgx.structures import AttributeFlags, MiscSelect, Xfrm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from enum import IntFlag

    from enclavize.sgx.sigstruct import Sigstruct

_HARMLESS = AttributeFlags.MODE64BIT | AttributeFlags.CET | AttributeFlags.AEXNOTIFY

# The processor ignores them; Intel's signing tool leaves them out of the mask.
_NOT_CHECKED = 0x00FF << 48

DEFAULT_XFRM = Xfrm.AVX | Xfrm.MPX | Xfrm.AVX512 | Xfrm.AMX
"""What the signing tools of Intel, Gramine and Occlum leave to the host unless they are told otherwise."""

NO_ID = bytes(16)
"""ISVFAMILYID and ISVEXTPRODID of an enclave that does without."""

MAX_SVN = 0xFFFF
_U32 = (1 << 32) - 1
_U64 = (1 << 64) - 1


@dataclass(frozen=True, kw_only=True)
class SigningPolicy:
    """``measurements``, ``product_ids``, ``family_ids``, ``extended_product_ids``: None for any.

    ``attributes``: flags besides harmless ones. ``xfrm``: features besides x87 and SSE, which are always on.
    ``misc_select``: bits of MISCSELECT.
    """

    measurements: frozenset[bytes] | None
    product_ids: frozenset[int] | None
    family_ids: frozenset[bytes] | None = frozenset({NO_ID})
    extended_product_ids: frozenset[bytes] | None = frozenset({NO_ID})
    min_svn: int = 0
    max_svn: int = MAX_SVN
    attributes: int = 0
    xfrm: int = DEFAULT_XFRM
    misc_select: int = MiscSelect.EXINFO
    vendors: frozenset[int] = frozenset({0})
    hw_versions: frozenset[int] = frozenset({0})

    def objections(self, sigstruct: Sigstruct) -> Iterator[str]:
        """The reasons not to sign, none if it may be signed."""
        wanted = sigstruct.measurement
        if self.measurements is not None and wanted.mrenclave not in self.measurements:
            yield "the measurement is not allowed"
        if self.product_ids is not None and wanted.isv_prod_id not in self.product_ids:
            yield f"the product id {wanted.isv_prod_id} is not allowed"
        for name, found, allowed in (
            ("family id", wanted.isv_family_id, self.family_ids),
            ("extended product id", wanted.isvext_prod_id, self.extended_product_ids),
        ):
            if allowed is not None and found not in allowed:
                yield f"the {name} {found.hex()} is not allowed"
        if wanted.isv_svn < self.min_svn:
            yield f"the security version {wanted.isv_svn} is lower than {self.min_svn}"
        if wanted.isv_svn > self.max_svn:
            yield f"the security version {wanted.isv_svn} is higher than {self.max_svn}"
        if ~wanted.attributes.xfrm & Xfrm.LEGACY:
            yield f"XFRM is {wanted.attributes.xfrm:#x}, without x87 and SSE no enclave starts"
        flags, mask = wanted.attributes, wanted.attributes_mask
        yield from _bit_objections(
            AttributeFlags, "attributes", flags.flags, mask.flags | _NOT_CHECKED, _HARMLESS | self.attributes
        )
        yield from _bit_objections(Xfrm, "features in XFRM", flags.xfrm, mask.xfrm, Xfrm.LEGACY | self.xfrm)
        misc_select, misc_mask = wanted.misc_select, wanted.misc_mask | ~_U32
        yield from _bit_objections(MiscSelect, "bits of MISCSELECT", misc_select, misc_mask, self.misc_select)
        if wanted.vendor not in self.vendors:
            yield f"the vendor {wanted.vendor:#x} is not allowed"
        if wanted.swdefined not in self.hw_versions:
            yield f"the hardware version {wanted.swdefined:#x} is not allowed"
        if wanted.header_type not in (0, TYPE_RELEASE):
            yield f"the type {wanted.header_type:#x} does not exist"
        if not _is_date(sigstruct.date):
            yield f"{sigstruct.date:#010x} is no date"


def _bit_objections(names: type[IntFlag], what: str, bits: int, mask: int, allowed: int) -> Iterator[str]:
    """Object to what is asked for, and to what is left to the host, beyond ``allowed``."""
    for verb, found in (("asks for", bits), ("lets the host choose", ~mask & _U64)):
        if forbidden := found & ~int(allowed):  # the inverse of an IntFlag has known bits only
            yield f"the enclave {verb} {what} that are not allowed: {_names(names, forbidden)}"


def _names(flags: type[IntFlag], bits: int) -> str:
    known = [flag for flag in flags.__members__.values() if bits & flag == flag]
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
