"""Small enclaves with one flaw each (tests/native/sgx_fake/illegal.c): who refuses them, and how (SDM 3D)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Flaw:
    """``simulated`` and ``hardware``: parts of what the program prints. Empty: it does not come to that.

    ``leaf`` is the one that refuses; "-" an instruction of the enclave's own.
    """

    leaf: str
    about: str
    simulated: tuple[str, ...]
    hardware: tuple[str, ...]
    steps: bool = False
    """Only where each instruction is looked at first."""


_GP, _PF, _UD = "exception 13, error code 0", "exception 14, error code", "exception 6, error code 0"
_EIO, _EINVAL, _EPERM, _EACCES = "errno 5:", "errno 22:", "errno 1:", "errno 13:"


def _ecreate(about: str, hardware: str = _EIO) -> Flaw:
    return Flaw(leaf="ECREATE", about=about, simulated=("ECREATE #GP(0)",), hardware=(hardware,))


def _eadd(about: str, hardware: str = _EINVAL, simulated: str = "EADD #GP(0)") -> Flaw:
    return Flaw(leaf="EADD", about=about, simulated=(simulated,), hardware=(hardware,) if hardware else ())


def _einit(about: str, name: str, code: int, hardware: str = _EPERM) -> Flaw:
    seen = (hardware, f"fake: EINIT error {code}") if hardware == _EPERM else (hardware,)
    return Flaw(leaf="EINIT", about=about, simulated=(_EPERM, f"{name} ({code})"), hardware=seen)


def _demand(about: str) -> Flaw:
    """What the driver refuses before EINIT comes to it."""
    told = f"SIGSTRUCT that demands an unknown {about}"
    return Flaw(
        leaf="EINIT", about=told, simulated=(_EINVAL, "which the driver refuses"), hardware=(_EINVAL,)
    )


def _inside(leaf: str, about: str, answer: str = _GP) -> Flaw:
    faults = answer.startswith("exception") and not answer.startswith("exception 14")
    simulated = (answer, f"{leaf} #GP(0)") if faults and leaf.startswith("E") else (answer,)
    return Flaw(leaf=leaf, about=about, simulated=simulated, hardware=(answer,))


def _entry(about: str, name: str, hardware: str) -> Flaw:
    return Flaw(leaf="EENTER", about=about, simulated=(name,), hardware=(hardware,))


def _resume(about: str) -> Flaw:
    hardware = ("ERESUME faulted", _ENTER_GP)
    return Flaw(leaf="ERESUME", about=about, simulated=("ERESUME #GP(0)",), hardware=hardware)


def _illegal(name: str) -> Flaw:
    return Flaw(leaf="-", about=name, simulated=(_UD, f"{name} #UD"), hardware=(), steps=True)


_ENTER_GP = "exception 0x000000000000000d"
_MISMATCH = "ENCLU 19"  # SGX_PAGE_ATTRIBUTES_MISMATCH
_NOT_REPORTED = "the enclave cannot be told of an exception inside"

ILLEGAL = {
    "size_no_power": _ecreate("size that is no power of 2", _EINVAL),
    "size_of_a_page": _ecreate("size of one page"),
    "no_ssa": _ecreate("SSA frames of no page"),
    "unknown_misc": _ecreate("unknown bit of MISCSELECT"),
    "unknown_attribute": _ecreate("unknown bit of ATTRIBUTES"),
    "initialised_attribute": _ecreate("ATTRIBUTES.INIT"),
    "no_mode64": _ecreate("32-bit enclave"),
    "no_sse": _ecreate("XFRM without SSE"),
    "unknown_xfrm": _ecreate("XFRM with what the CPU does not have"),
    "page_unaligned": _eadd("address that is not aligned"),
    "page_outside": _eadd("address outside of ELRANGE"),
    "writable_alone": _eadd("W without R"),
    "reserved_secinfo": _eadd("reserved bit of SECINFO"),
    "pending_at_eadd": _eadd("PENDING in SECINFO"),
    "page_type": _eadd("page type PT_TRIM"),
    "tcs_rights": _eadd("TCS with rights"),
    "tcs_reserved": _eadd("reserved byte of a TCS", _EIO),
    "page_twice": _eadd("page that is there already", "a page is there twice", "errno 17:"),
    "page_after_einit": _eadd("page after EINIT", ""),
    "measurement": _einit("another MRENCLAVE", "SGX_INVALID_MEASUREMENT", 4),
    "signature": _einit("changed signature", "SGX_INVALID_SIGNATURE", 8),
    "quotient": _einit("changed Q1", "SGX_INVALID_SIGNATURE", 8),
    "sigstruct_header": _einit("changed header", "SGX_INVALID_SIG_STRUCT", 1),
    "sigstruct_vendor": _einit("unknown vendor", "SGX_INVALID_SIG_STRUCT", 1, _EINVAL),
    "attribute_mask": _einit("DEBUG against the SIGSTRUCT", "SGX_INVALID_ATTRIBUTE", 2),
    "isv_family": _einit("ISVFAMILYID without KSS", "SGX_INVALID_SIG_STRUCT", 1),
    "demanded_attribute": _demand("attribute"),
    "demanded_misc": _demand("bit of MISCSELECT"),
    "demanded_features": _demand("bit of XFRM"),
    "provision_key": Flaw(leaf="EINIT", about="provisioning key", simulated=(_EACCES,), hardware=(_EACCES,)),
    "launch_key": Flaw(leaf="EINIT", about="launch key", simulated=(_EACCES,), hardware=(_EACCES,)),
    "einit_twice": Flaw(leaf="EINIT", about="second EINIT", simulated=(_EINVAL,), hardware=(_EINVAL,)),
    "tcs_flags": _entry("unknown flag of a TCS", "EENTER #GP(0): reserved flags", _ENTER_GP),
    "tcs_ossa": _entry("OSSA that is not aligned", "EENTER #GP(0): OSSA", _ENTER_GP),
    "tcs_ogsbase": _entry(
        "OGSBASE that is not aligned", "EENTER #GP(0): OSSA, OFSBASE or OGSBASE", _ENTER_GP
    ),
    "tcs_oentry": _entry("OENTRY that is not canonical", "EENTER #GP(0): OENTRY", _ENTER_GP),
    "tcs_ofsbase": _entry("OFSBASE that is not canonical", "EENTER #GP(0): OENTRY, OFSBASE", _ENTER_GP),
    "tcs_ossa_outside": _entry(
        "OSSA outside of ELRANGE", "#PF: the SSA frame is not there", "a page was taken away"
    ),
    "no_einit": _entry("no EINIT", "EENTER #GP(0): the enclave is not initialised", _ENTER_GP),
    "no_tcs": _entry("page that is no TCS", "EENTER #PF: the page is no TCS", "a page was taken away"),
    "busy": _entry("TCS in use", "EENTER #GP(0): a thread is in the enclave", _ENTER_GP),
    "no_frame": _entry("NSSA 0", "EENTER #GP(0): all SSA frames are in use", _ENTER_GP),
    "one_frame": _entry(
        "exception in the last SSA frame", "EENTER #GP(0): all SSA frames are in use", _ENTER_GP
    ),
    "frame_left_out": _entry("missing SSA frame", "#PF: the SSA frame is not there", "a page was taken away"),
    "frame_read_only": _entry(
        "SSA frame without W",
        "#PF: the SSA frame is not there, or cannot be written",
        "a page was taken away",
    ),
    "resume_features": _resume("SSA with state beyond XFRM"),
    "resume_header": _resume("SSA with reserved bytes of the XSAVE header"),
    "resume_address": _resume("RIP that is not canonical"),
    "exit_not_canonical": _inside("EEXIT", "target that is not canonical"),
    "enter_inside": _inside("EENTER", "inside of an enclave"),
    "unknown_leaf": _inside("ENCLU", "leaf 99"),
    "accept_unaligned_secinfo": _inside("EACCEPT", "SECINFO that is not aligned"),
    "accept_secinfo_outside": _inside("EACCEPT", "SECINFO outside of ELRANGE"),
    "accept_reserved": _inside("EACCEPT", "reserved byte of SECINFO"),
    "accept_state": _inside("EACCEPT", "neither PENDING nor PR nor MODIFIED"),
    "accept_unaligned": _inside("EACCEPT", "page that is not aligned"),
    "accept_outside": _inside("EACCEPT", "page outside of ELRANGE"),
    "accept_rights": _inside("EACCEPT", "other rights than the EPCM has", _MISMATCH),
    "accept_writable_alone": _inside("EACCEPT", "W without R, which no page has", _MISMATCH),
    "accept_what_is_there": _inside("EACCEPT", "page that is not pending", _MISMATCH),
    "extend_pending": _inside("EMODPE", "pending page", _PF),
    "extend_tcs": _inside("EMODPE", "TCS", _PF),
    "extend_unaligned": _inside("EMODPE", "page that is not aligned"),
    "extend_outside": _inside("EMODPE", "page outside of ELRANGE"),
    "extend_reserved": _inside("EMODPE", "reserved byte of SECINFO"),
    "extend_writable_alone": _inside("EMODPE", "W without R"),
    "accept_modified": _inside("EACCEPT", "PENDING and MODIFIED"),
    "accept_trim_pending": _inside("EACCEPT", "PT_TRIM that is PENDING"),
    "copy_writable_alone": _inside("EACCEPTCOPY", "W without R"),
    "copy_unaligned": _inside("EACCEPTCOPY", "source that is not aligned"),
    "copy_outside": _inside("EACCEPTCOPY", "page outside of ELRANGE"),
    "stack_not_canonical": _inside("-", "#SS, of which EXITINFO does not tell", _NOT_REPORTED),
    "copy_from_pending": _inside("EACCEPTCOPY", "source that is pending", f"{_PF} {0x8005}"),
    "copy_of_tcs": _inside("EACCEPTCOPY", "type PT_TCS"),
    "copy_over_page": _inside("EACCEPTCOPY", "page that is not pending", _MISMATCH),
    "report_unaligned": _inside("EREPORT", "TARGETINFO that is not aligned"),
    "report_read_only": _inside("EREPORT", "report in a page without W", f"{_PF} 7"),
    "report_data_unaligned": _inside("EREPORT", "REPORTDATA that is not aligned"),
    "report_outside": _inside("EREPORT", "report outside of ELRANGE"),
    "report_reserved_byte": _inside("EREPORT", "reserved byte of TARGETINFO, at 49"),
    "report_reserved_middle": _inside("EREPORT", "reserved byte of TARGETINFO, at 63"),
    "report_reserved_end": _inside("EREPORT", "reserved byte of TARGETINFO, the last"),
    "key_unaligned": _inside("EGETKEY", "KEYREQUEST that is not aligned"),
    "key_output_unaligned": _inside("EGETKEY", "key that is not aligned"),
    "key_read_only": _inside("EGETKEY", "key in a page without W", f"{_PF} 7"),
    "key_policy": _inside("EGETKEY", "policy of KSS, which is off"),
    "key_reserved": _inside("EGETKEY", "reserved byte of KEYREQUEST, at 6"),
    "key_reserved_end": _inside("EGETKEY", "reserved byte of KEYREQUEST, the last"),
    "key_name": _inside("EGETKEY", "unknown KEYNAME", "ENCLU 256"),
    "key_launch": _inside("EGETKEY", "launch key without the attribute", "ENCLU 2"),
    "key_provision": _inside("EGETKEY", "provisioning key without the attribute", "ENCLU 2"),
    "key_provision_seal": _inside("EGETKEY", "provisioning seal key without the attribute", "ENCLU 2"),
    "key_cpu_svn": _inside("EGETKEY", "CPUSVN above the CPU's", "ENCLU 32"),
    "key_isv_svn": _inside("EGETKEY", "ISVSVN above the enclave's", "ENCLU 64"),
    "key_config_svn": _inside("EGETKEY", "CONFIGSVN of KSS, which is off"),
    "restrict_pending": Flaw(
        leaf="EMODPR",
        about="pending page",
        simulated=("errno 14:", "SGX_PAGE_NOT_MODIFIABLE (20)"),
        hardware=("errno 14:",),
    ),
    "touch_pending": _inside("-", "load from a pending page", f"{_PF} {0x8005}"),
    "store_read_only": _inside("-", "store to a page without W", f"{_PF} 7"),
    "run_data": _inside("-", "jump to a page without X", f"{_PF} 21"),
    "syscall_": _inside("-", "SYSCALL", _UD),
    "int_80": _inside("-", "INT n", _UD),
    "cpuid": _illegal("CPUID"),
    "iret": _illegal("IRET"),
    "far_return": _illegal("far RET"),
    "far_jump": _illegal("far JMP"),
    "load_segment": _illegal("MOV to a segment register"),
    "in": _illegal("IN or OUT"),
    "rdpmc": _illegal("RDPMC"),
    "sgdt": _illegal("SGDT"),
    "getsec": _illegal("GETSEC"),
}

LEGAL = {
    "none": "no flaw at all",
    "tcs_state": "STATE, CSSA, AEP and DBGOPTIN of a TCS: EADD sets them to zero, and measures that",
    "accept_restricted": "PR in EACCEPT's SECINFO, of a page that was not restricted: it is not compared",
    "copy_state": "PENDING in EACCEPTCOPY's SECINFO: it is not looked at",
}
"""What looks wrong, and by the manual is not: name -> what it is."""
