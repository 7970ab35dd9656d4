"""The configuration of an enclave: the elements of Enclave.config.xml, their ranges, defaults and rules.

Source: Intel SGX Developer Reference for Linux, "Enclave Configuration File"; ranges and rules as
``sgx_sign`` 2.26 applies them. Sizes and addresses are in bytes. ``None`` is an element that is left out
where that differs from its default value.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from enclavize.errors import UsageError
from enclavize.sgx.structures import PAGE_SIZE

_U16 = 2**16 - 1
_U32 = 2**32 - 1
_U64 = 2**64 - 1
_HALF = 2**63 - 1  # of the largest enclave that the tool allows
_STACK_MIN = 0x2000

TCS_POLICY_BIND = 0
TCS_POLICY_UNBIND = 1

# Values of PKRU and AMX.
FEATURE_OFF = 0
FEATURE_ON = 1
FEATURE_LOADER_SELECTS = 2


def _element(name: str, default: int | None, low: int, high: int) -> Any:
    return field(default=default, metadata={"element": name, "range": (low, high)})


@dataclass(frozen=True, kw_only=True)
class EnclaveConfig:
    """One configuration. Making one checks it; raises ``UsageError`` naming the element."""

    prod_id: int = _element("ProdID", 0, 0, _U16)
    isv_svn: int = _element("ISVSVN", 0, 0, _U16)
    release_type: int = _element("ReleaseType", 0, 0, 1)
    intel_signed: int = _element("IntelSigned", 0, 0, 1)
    provision_key: int = _element("ProvisionKey", 0, 0, 1)
    launch_key: int = _element("LaunchKey", 0, 0, 1)
    disable_debug: int = _element("DisableDebug", 0, 0, 1)
    hw: int = _element("HW", 0, 0, 0x10)
    tcs_num: int = _element("TCSNum", 1, 1, _U32)
    tcs_max_num: int | None = _element("TCSMaxNum", None, 1, _U32)
    tcs_min_pool: int | None = _element("TCSMinPool", None, 0, _U32)
    tcs_policy: int = _element("TCSPolicy", TCS_POLICY_UNBIND, TCS_POLICY_BIND, TCS_POLICY_UNBIND)
    stack_max_size: int = _element("StackMaxSize", 0x40000, _STACK_MIN, _HALF)
    stack_min_size: int = _element("StackMinSize", _STACK_MIN, _STACK_MIN, _HALF)
    heap_max_size: int = _element("HeapMaxSize", 0x1000000, 0, _HALF)
    heap_min_size: int = _element("HeapMinSize", 0x1000, 0, _HALF)
    heap_init_size: int | None = _element("HeapInitSize", None, 0, _HALF)
    reserved_mem_max_size: int = _element("ReservedMemMaxSize", 0, 0, _HALF)
    reserved_mem_min_size: int = _element("ReservedMemMinSize", 0, 0, _HALF)
    reserved_mem_init_size: int | None = _element("ReservedMemInitSize", None, 0, _HALF)
    reserved_mem_executable: int = _element("ReservedMemExecutable", 0, 0, 1)
    misc_select: int = _element("MiscSelect", 0, 0, _U32)
    misc_mask: int = _element("MiscMask", _U32, 0, _U32)
    enable_kss: int = _element("EnableKSS", 0, 0, 1)
    isv_family_id_h: int = _element("ISVFAMILYID_H", 0, 0, _U64)
    isv_family_id_l: int = _element("ISVFAMILYID_L", 0, 0, _U64)
    isvext_prod_id_h: int = _element("ISVEXTPRODID_H", 0, 0, _U64)
    isvext_prod_id_l: int = _element("ISVEXTPRODID_L", 0, 0, _U64)
    enclave_image_address: int | None = _element("EnclaveImageAddress", None, PAGE_SIZE, _U64)
    elrange_start_address: int | None = _element("ELRangeStartAddress", None, 0, _U64)
    elrange_size: int | None = _element("ELRangeSize", None, PAGE_SIZE, _U64)
    pkru: int = _element("PKRU", FEATURE_OFF, FEATURE_OFF, FEATURE_LOADER_SELECTS)
    amx: int = _element("AMX", FEATURE_OFF, FEATURE_OFF, FEATURE_LOADER_SELECTS)
    user_region_size: int = _element("UserRegionSize", 0, 0, _HALF)
    enable_aex_notify: int = _element("EnableAEXNotify", 0, 0, 1)
    enable_ipp_fips: int = _element("EnableIPPFIPS", 0, 0, 1)
    enable_ossl_fips: int = _element("EnableOSSLFIPS", 0, 0, 1)

    def __post_init__(self) -> None:
        for element in fields(self):
            value = getattr(self, element.name)
            low, high = element.metadata["range"]
            if value is not None and not low <= value <= high:
                raise UsageError(f"{element.metadata['element']} is out of its range {low:#x} to {high:#x}")
        self._check_stack()
        _check_region("Heap", self.heap_min_size, self.heap_init_size, self.heap_max_size)
        _check_region(
            "ReservedMem", self.reserved_mem_min_size, self.reserved_mem_init_size, self.reserved_mem_max_size
        )
        self._check_threads()
        self._check_identity()
        self._check_platform()

    @property
    def threads_max(self) -> int:
        """TCSMaxNum, or its default."""
        return self.tcs_num if self.tcs_max_num is None else self.tcs_max_num

    @property
    def heap_init(self) -> int:
        """HeapInitSize, or its default."""
        return self.heap_max_size if self.heap_init_size is None else self.heap_init_size

    @property
    def reserved_mem_init(self) -> int:
        """ReservedMemInitSize, or its default."""
        return (
            self.reserved_mem_max_size if self.reserved_mem_init_size is None else self.reserved_mem_init_size
        )

    @property
    def static_threads(self) -> int:
        """Threads beside the utility thread that are never removed: TCSMinPool, as far as TCSNum has them."""
        return min(self.pool, self.tcs_num - 1)

    @property
    def pool(self) -> int:
        """TCSMinPool, or its default."""
        return 1 if self.tcs_min_pool is None else self.tcs_min_pool

    @property
    def image_offset(self) -> int:
        """How far the image lies above the enclave's base address; 0 without an ELRange."""
        if self.elrange_size is None:
            return 0
        return (self.enclave_image_address or 0) - (self.elrange_start_address or 0)

    @property
    def is_dynamic(self) -> bool:
        """Whether heap, stack, reserved memory or threads can grow at run time."""
        return (
            not self.heap_min_size == self.heap_init == self.heap_max_size
            or self.stack_min_size != self.stack_max_size
            or not self.reserved_mem_min_size == self.reserved_mem_init == self.reserved_mem_max_size
            or self.threads_max != self.static_threads + 1
        )

    def _check_stack(self) -> None:
        if self.stack_max_size % PAGE_SIZE or self.stack_min_size % PAGE_SIZE:
            raise UsageError("StackMinSize and StackMaxSize must be multiples of the page size")
        if self.stack_min_size > self.stack_max_size:
            raise UsageError("StackMinSize is larger than StackMaxSize")

    def _check_threads(self) -> None:
        if self.threads_max < self.tcs_num:
            raise UsageError("TCSMaxNum is smaller than TCSNum")
        if self.tcs_min_pool is not None and self.tcs_min_pool > self.threads_max:
            raise UsageError("TCSMinPool is larger than the number of threads")

    def _check_identity(self) -> None:
        if bool(self.hw) != bool(self.launch_key):
            raise UsageError("HW and LaunchKey must be both zero or both non-zero")
        ids = self.isv_family_id_h, self.isv_family_id_l, self.isvext_prod_id_h, self.isvext_prod_id_l
        if any(ids) and not self.enable_kss:
            raise UsageError("ISVFAMILYID and ISVEXTPRODID need EnableKSS")

    def _check_platform(self) -> None:
        if self.user_region_size % PAGE_SIZE:
            raise UsageError("UserRegionSize must be a multiple of the page size")
        if self.user_region_size and not self.misc_select & self.misc_mask & 1:
            raise UsageError(
                "UserRegionSize needs bit 0 of MiscSelect and of MiscMask: it exists on SGX2 only"
            )
        if self.enable_ossl_fips:
            raise UsageError("EnableOSSLFIPS is not supported: it needs OpenSSL's FIPS provider of the SDK")
        self._check_elrange()

    def _check_elrange(self) -> None:
        if self.elrange_size is None:
            if self.enclave_image_address is not None or self.elrange_start_address is not None:
                raise UsageError("EnclaveImageAddress and ELRangeStartAddress need ELRangeSize")
            return
        image, start = self.enclave_image_address or 0, self.elrange_start_address or 0
        if self.elrange_size & (self.elrange_size - 1):
            raise UsageError("ELRangeSize must be a power of two")
        if image % PAGE_SIZE:
            raise UsageError("EnclaveImageAddress must be a multiple of the page size")
        if start % self.elrange_size:
            raise UsageError("ELRangeStartAddress must be a multiple of ELRangeSize")
        if not start <= image < start + self.elrange_size:
            raise UsageError("EnclaveImageAddress lies outside the ELRange")


def _check_region(name: str, low: int, init: int | None, high: int) -> None:
    if any(size % PAGE_SIZE for size in (low, init or 0, high)):
        raise UsageError(f"{name} sizes must be multiples of the page size")
    if init is None:
        if low > high:
            raise UsageError(f"{name}MinSize is larger than {name}MaxSize")
    elif init > high:
        raise UsageError(f"{name}InitSize is larger than {name}MaxSize")
    elif low > init:
        raise UsageError(f"{name}MinSize is larger than {name}InitSize")
