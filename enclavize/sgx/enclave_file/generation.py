"""The generations of the SDK's enclave format.

The metadata's version, size and parts of its content changed between SDK releases, and so did the global data
of the runtime that is linked into the enclave. The release is read from ``g_global_data``; a signer has to
write what that release's loader and runtime expect.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from enclavize.sgx.errors import InvalidEnclaveError


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One format. Offsets of ``metadata`` are counted from its first byte."""

    release: tuple[int, int]
    sgx2_version: tuple[int, int]
    sgx1_version: tuple[int, int]
    metadata_size: int
    data_offset: int  # after the directories
    global_data_size: int
    default_elrange: bool  # without an ELRange, the global data names the enclave's own range
    unchecked_xfrm: int  # bits of XFRM that the loader may choose
    masks_misc_select: bool  # SIGSTRUCT's MISCSELECT is MiscSelect & MiscMask, the metadata holds MiscSelect
    always_has_sgx1: bool  # SGX1 metadata is appended even where only SGX2 platforms can run the enclave

    @property
    def sdk_version(self) -> int:
        """The first field of ``g_global_data``."""
        major, minor = self.release
        return major << 32 | minor << 16 | 100


SDK_2_26 = Generation(
    release=(2, 26),
    sgx2_version=(3, 3),
    sgx1_version=(1, 5),
    metadata_size=0x6000,
    data_offset=1904,
    global_data_size=1768,
    default_elrange=False,
    unchecked_xfrm=0xE4,
    masks_misc_select=True,
    always_has_sgx1=False,
)

# As Occlum's fork has them: MPX is not checked, and SGX1 metadata is never left out. Intel's own tools check
# MPX and leave the SGX1 metadata out where only SGX2 platforms can run the enclave; MRENCLAVE is the same.
SDK_2_21 = Generation(
    release=(2, 21),
    sgx2_version=(3, 0),
    sgx1_version=(1, 4),
    metadata_size=0x5000,
    data_offset=1888,
    global_data_size=1760,
    default_elrange=True,
    unchecked_xfrm=0xFC,
    masks_misc_select=False,
    always_has_sgx1=True,
)
SDK_2_20 = replace(SDK_2_21, release=(2, 20))

GENERATIONS = (SDK_2_20, SDK_2_21, SDK_2_26)


def generation_of(sdk_version: int) -> Generation:
    """The format of an unsigned enclave. Raises ``InvalidEnclaveError``."""
    for generation in GENERATIONS:
        if generation.sdk_version == sdk_version:
            return generation
    release = f"{sdk_version >> 32}.{sdk_version >> 16 & 0xFFFF}.{sdk_version & 0xFFFF}"
    known = ", ".join(f"{major}.{minor}" for major, minor in (each.release for each in GENERATIONS))
    raise InvalidEnclaveError(
        f"The enclave was built with SGX SDK {release}; those of SDK {known} can be signed",
        hint="Sign it with the sgx_sign of the SDK that built it.",
    )
