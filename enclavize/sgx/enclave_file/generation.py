"""The generations of the SDK's enclave format.

The metadata's version, size and parts of its content changed between SDK releases, and so did the global data
of the runtime that is linked into the enclave. The release is read from ``g_global_data``; a signer has to
write what that release's loader and runtime expect.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto

from enclavize.sgx.enclave_file.emm import EmmModel
from enclavize.sgx.errors import InvalidEnclaveError


class ThreadData(Enum):
    """The template of a thread's data in the global data."""

    PLAIN = auto()  # 160 bytes
    AEX_NOTIFY = auto()  # 192 bytes, with fields for AEXNOTIFY


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One format. Offsets of ``metadata`` are counted from its first byte."""

    release: tuple[int, int]
    revisions: tuple[int, ...] = (100,)
    sgx2_version: tuple[int, int]
    sgx1_version: tuple[int, int]
    metadata_size: int
    data_offset: int  # after the directories
    global_data_size: int
    max_layout: int  # records of the layout table for which the global data has room
    thread_data: ThreadData
    emm: EmmModel | None  # None: there is no user region
    unknown_elements: tuple[str, ...] = ()  # of the configuration, as EnclaveConfig names them
    default_elrange: bool  # without an ELRange, the global data names the enclave's own range
    unchecked_flags: int = 0x00FF << 48  # bits of ATTRIBUTES.FLAGS that are never checked
    unchecked_xfrm: int  # bits of XFRM that the loader may choose
    masks_misc_select: bool  # SIGSTRUCT's MISCSELECT is MiscSelect & MiscMask, the metadata holds MiscSelect
    always_has_sgx1: bool  # SGX1 metadata is appended even where only SGX2 platforms can run the enclave
    always_has_sgx2: bool = False  # the reverse
    copy_version: tuple[int, int] | None = None  # of a copy of the SGX2 metadata for loaders before 2.1
    save_area_size: int | None = None  # what the metadata says of XSAVE, where it is not the real size

    @property
    def name(self) -> str:
        """As Intel writes it."""
        major, minor = self.release
        return f"{major}.{minor}"


SDK_2_26 = Generation(
    release=(2, 26),
    sgx2_version=(3, 3),
    sgx1_version=(1, 5),
    metadata_size=0x6000,
    data_offset=1904,
    global_data_size=1768,
    max_layout=43,
    emm=EmmModel.SINGLE_RESERVE,
    thread_data=ThreadData.AEX_NOTIFY,
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
    max_layout=43,
    emm=EmmModel.SINGLE_RESERVE,
    thread_data=ThreadData.AEX_NOTIFY,
    default_elrange=True,
    unchecked_xfrm=0xFC,
    masks_misc_select=False,
    always_has_sgx1=True,
)
SDK_2_20 = replace(SDK_2_21, release=(2, 20))  # the tools of the two differ in their number only

# Intel's tools and those of Occlum's fork, but that the former check MPX here too.
SDK_2_19 = replace(
    SDK_2_20,
    release=(2, 19),
    global_data_size=1720,
    emm=EmmModel.RESERVATIONS,
    thread_data=ThreadData.PLAIN,
    unknown_elements=("enable_aex_notify",),
    always_has_sgx1=False,
)
SDK_2_18 = replace(
    SDK_2_19,
    release=(2, 18),
    revisions=(100, 101),  # 2.18.101 is SDK 2.18.1, whose tool differs in its number only
    global_data_size=1688,
    max_layout=42,
    emm=EmmModel.UNROUNDED,
)
# Always SGX2 and SGX1 metadata, whatever can run the enclave; between them the copy, but not with an ELRange.
SDK_2_17 = replace(
    SDK_2_18,
    release=(2, 17),
    revisions=(100, 101),
    sgx2_version=(2, 4),
    copy_version=(2, 1),
    emm=None,
    unknown_elements=("enable_aex_notify", "amx", "user_region_size"),
    unchecked_flags=0,
    always_has_sgx1=True,
    always_has_sgx2=True,
    save_area_size=2632,
)

GENERATIONS = (SDK_2_17, SDK_2_18, SDK_2_19, SDK_2_20, SDK_2_21, SDK_2_26)


def generation_of(sdk_version: int) -> Generation:
    """The format of an unsigned enclave, from the first field of its ``g_global_data``.

    Raises ``InvalidEnclaveError``.
    """
    release, revision = (sdk_version >> 32, sdk_version >> 16 & 0xFFFF), sdk_version & 0xFFFF
    for generation in GENERATIONS:
        if generation.release == release and revision in generation.revisions:
            return generation
    known = ", ".join(generation.name for generation in GENERATIONS)
    raise InvalidEnclaveError(
        f"the enclave was built with SGX SDK {'.'.join(map(str, (*release, revision)))}; "
        f"those of SDK {known} can be signed",
        hint="Sign it with the sgx_sign of the SDK that built it.",
    )
