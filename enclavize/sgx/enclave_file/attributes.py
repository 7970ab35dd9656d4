"""ATTRIBUTES of an enclave, and what follows from them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from enclavize.sgx.enclave_file.config import FEATURE_LOADER_SELECTS, FEATURE_ON
from enclavize.sgx.measurement import Measurement
from enclavize.sgx.sigstruct import TYPE_RELEASE, VENDOR_INTEL
from enclavize.sgx.structures import PAGE_SIZE, AttributeFlags, Attributes, Xfrm

if TYPE_CHECKING:
    from enclavize.sgx.enclave_file.config import EnclaveConfig
    from enclavize.sgx.enclave_file.generation import Generation

SSA_GPR_SIZE = 184
_ALL_BITS = 2**64 - 1

# Size of the XSAVE area (not compacted) that holds the state of these XCR0 bits and of all before them.
_XSAVE_SIZES = (
    (Xfrm.LEGACY, 576),
    (Xfrm.AVX | 2, 832),
    (Xfrm.MPX, 1088),
    (Xfrm.AVX512 | 6, 2688),
    (Xfrm.PKRU, 2752),
    (Xfrm.AMX, 11008),
)


def sgx_attributes(config: EnclaveConfig, generation: Generation) -> tuple[Attributes, Attributes]:
    """ATTRIBUTES and ATTRIBUTEMASK of SIGSTRUCT."""
    flags = AttributeFlags.MODE64BIT
    for wanted, flag in (
        (config.provision_key, AttributeFlags.PROVISIONKEY),
        (config.launch_key, AttributeFlags.EINITTOKENKEY),
        (config.enable_kss, AttributeFlags.KSS),
        (config.enable_aex_notify, AttributeFlags.AEXNOTIFY),
    ):
        if wanted:
            flags |= flag
    flags_mask = _ALL_BITS & ~generation.unchecked_flags
    if not config.disable_debug:
        flags_mask &= ~int(AttributeFlags.DEBUG)
    xfrm, xfrm_mask = Xfrm.LEGACY, _ALL_BITS & ~generation.unchecked_xfrm
    for choice, bits in ((config.pkru, Xfrm.PKRU), (config.amx, Xfrm.AMX)):
        if choice == FEATURE_ON:
            xfrm |= bits
        elif choice == FEATURE_LOADER_SELECTS:
            xfrm_mask &= ~int(bits)
    return Attributes(flags=int(flags), xfrm=int(xfrm)), Attributes(flags=flags_mask, xfrm=xfrm_mask)


def loader_attributes(config: EnclaveConfig, generation: Generation) -> Attributes:
    """What the metadata asks for: every feature that SIGSTRUCT leaves open or demands."""
    attributes, mask = sgx_attributes(config, generation)
    return Attributes(flags=attributes.flags, xfrm=_ALL_BITS & ~mask.xfrm | attributes.xfrm & mask.xfrm)


def xsave_area_size(xfrm: int) -> int:
    """In bytes."""
    return [size for bits, size in _XSAVE_SIZES if xfrm & bits == bits][-1]


def ssa_frame_pages(xsave_size: int) -> int:
    """Pages of one SSA frame: the XSAVE area, and the general registers at its end."""
    return -(-(xsave_size + SSA_GPR_SIZE) // PAGE_SIZE)


def measurement_of(config: EnclaveConfig, generation: Generation, mrenclave: bytes) -> Measurement:
    """What SIGSTRUCT says of an enclave with this configuration."""
    attributes, mask = sgx_attributes(config, generation)
    misc_select = config.misc_select
    return Measurement(
        mrenclave=mrenclave,
        attributes=attributes,
        attributes_mask=mask,
        misc_select=misc_select & config.misc_mask if generation.masks_misc_select else misc_select,
        misc_mask=config.misc_mask,
        isv_prod_id=config.prod_id,
        isv_svn=config.isv_svn,
        isv_family_id=struct.pack("<QQ", config.isv_family_id_l, config.isv_family_id_h),
        isvext_prod_id=struct.pack("<QQ", config.isvext_prod_id_l, config.isvext_prod_id_h),
        swdefined=config.hw,
        vendor=VENDOR_INTEL if config.intel_signed else 0,
        header_type=TYPE_RELEASE if config.release_type else 0,
    )
