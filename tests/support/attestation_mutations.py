"""Faults to plant in what makes reports and keys: the LibOS's part, the structures, and simulation's CPU."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AttestationMutation:
    """``old`` stands in ``file``, a path in ``native``, once."""

    file: str
    old: str
    new: str


_LIBOS, _LAYOUT, _SIMULATION = "libos/boundary/attestation.c", "include/sgx_arch.h", "pal/sim_keys.c"
_KEY_REQUEST_END = (
    '} __attribute__((aligned(512)));\n_Static_assert(sizeof(struct key_request) == 512, "KEYREQUEST");'
)


def _libos(old: str, new: str = "") -> AttestationMutation:
    return AttestationMutation(file=_LIBOS, old=old, new=new)


def _layout(old: str, new: str) -> AttestationMutation:
    return AttestationMutation(file=_LAYOUT, old=old, new=new)


def _simulation(old: str, new: str = "") -> AttestationMutation:
    return AttestationMutation(file=_SIMULATION, old=old, new=new)


ATTESTATION_MUTATIONS = {
    "reserved byte of TARGETINFO": _libos("operand.reserved1 != 0 || "),
    "reserved bytes in the middle of TARGETINFO": _libos(
        "!are_zero(operand.reserved2, sizeof(operand.reserved2)) || "
    ),
    "reserved bytes at the end of TARGETINFO": _libos(
        " || !are_zero(operand.reserved3, sizeof(operand.reserved3))"
    ),
    "a report without REPORTDATA": _libos(
        "memcpy(data_operand, data, sizeof(data_operand));", "memset(data_operand, 0, 64);"
    ),
    "REPORTDATA that is not aligned": _libos(
        "(uint64_t)data_operand, (uint64_t)report", "(uint64_t)data_operand + 1, (uint64_t)report"
    ),
    "a report for itself": _libos("memcpy(&operand, target,", "memcpy(&operand, data,"),
    "TARGETINFO without MRENCLAVE": _libos(
        "memcpy(target->mrenclave, report.mrenclave, sizeof(target->mrenclave));"
    ),
    "MRSIGNER as MRENCLAVE": _libos(
        "memcpy(target->mrenclave, report.mrenclave,", "memcpy(target->mrenclave, report.mrsigner,"
    ),
    "TARGETINFO without ATTRIBUTES": _libos("target->attributes = report.attributes;"),
    "TARGETINFO without MISCSELECT": _libos("target->misc_select = report.misc_select;"),
    "sealing to enclave and signer": _libos(".policy = (uint16_t)policy,", ".policy = 3,"),
    "sealing to nobody": _libos(".policy = (uint16_t)policy,", ".policy = 0,"),
    "report key as sealing key": _libos(".name = SEAL_KEY,", ".name = REPORT_KEY,"),
    "sealing key of version 0": _libos(".isv_svn = report.isv_svn,", ".isv_svn = 0,"),
    "sealing key of a later version": _libos(".isv_svn = report.isv_svn,", ".isv_svn = report.isv_svn + 1,"),
    "sealing key of an older CPU": _libos(
        "memcpy(request.cpu_svn, report.cpu_svn, sizeof(request.cpu_svn));"
    ),
    "flags that do not count": _libos(".flags = ~0ULL,", ".flags = 0,"),
    "XFRM that does not count": _libos(".xfrm = SEAL_XFRM_MASK", ".xfrm = 0"),
    "XFRM that counts as a whole": _libos(".xfrm = SEAL_XFRM_MASK", ".xfrm = ~0ULL"),
    "MISCSELECT that does not count": _libos(".misc_mask = ~0U,", ".misc_mask = 0,"),
    "EGETKEY that fails": _libos("return error == 0 ? 0 : -EACCES;", "return 0 * (int)error;"),
    "order of ISVPRODID and ISVSVN": _layout(
        "uint16_t isv_prod_id;\n    uint16_t isv_svn;", "uint16_t isv_svn;\n    uint16_t isv_prod_id;"
    ),
    "order of CONFIGSVN and MISCSELECT": _layout(
        "uint16_t config_svn;\n    uint32_t misc_select;\n    uint8_t reserved2[8];",
        "uint32_t misc_select;\n    uint16_t config_svn;\n    uint8_t reserved2[6];",
    ),
    "order of MRENCLAVE and ATTRIBUTES": _layout(
        "struct sgx_attributes attributes;\n    uint8_t mrenclave[32];\n    uint8_t reserved2[32];",
        "uint8_t mrenclave[32];\n    struct sgx_attributes attributes;\n    uint8_t reserved2[32];",
    ),
    "order of KEYPOLICY and ISVSVN": _layout(
        "uint16_t policy;\n    uint16_t isv_svn;", "uint16_t isv_svn;\n    uint16_t policy;"
    ),
    "order of ATTRIBUTEMASK and KEYID": _layout(
        "struct sgx_attributes attributes_mask;\n    uint8_t key_id[32];",
        "uint8_t key_id[32];\n    struct sgx_attributes attributes_mask;",
    ),
    "numbers of policies": _layout(
        "KEY_POLICY_MRENCLAVE = 1, KEY_POLICY_MRSIGNER = 2",
        "KEY_POLICY_MRENCLAVE = 2, KEY_POLICY_MRSIGNER = 1",
    ),
    "number of the sealing key": _layout("SEAL_KEY = 4", "SEAL_KEY = 2"),
    "KEYREQUEST that is not aligned": _layout(
        _KEY_REQUEST_END, _KEY_REQUEST_END.replace("aligned(512)", "aligned(1)")
    ),
    "MAC that leaves REPORTDATA out": _simulation(
        "cmac(key, report, offsetof(struct report, key_id), report->mac);",
        "cmac(key, report, offsetof(struct report, report_data), report->mac);",
    ),
    "MAC over KEYID": _simulation(
        "cmac(key, report, offsetof(struct report, key_id), report->mac);",
        "cmac(key, report, offsetof(struct report, mac), report->mac);",
    ),
    "MAC by the CPU's secret": _simulation(
        "cmac(key, report, offsetof(struct report, key_id)",
        "cmac(SECRET, report, offsetof(struct report, key_id)",
    ),
    "report key for anybody": _simulation(
        "copy(dependencies.mrenclave, target->mrenclave, sizeof(dependencies.mrenclave));"
    ),
    "report key without the target's attributes": _simulation(
        "dependencies.attributes = target->attributes;"
    ),
    "report without MRSIGNER": _simulation(
        "copy(report->mrsigner, enclave->mrsigner, sizeof(report->mrsigner));"
    ),
    "key without KEYID": _simulation(
        "copy(dependencies.key_id, request->key_id, sizeof(dependencies.key_id));"
    ),
    "key without ISVSVN": _simulation("dependencies.isv_svn = request->isv_svn;"),
    "key without ISVPRODID": _simulation("dependencies.isv_prod_id = enclave->isv_prod_id;"),
    "key for a later version": _simulation("if (request->isv_svn > enclave->isv_svn) {", "if (false) {"),
    "key for a newer CPU": _simulation("if (is_above(request->cpu_svn)) {", "if (false) {"),
    "key without DEBUG": _simulation(
        "request->attributes_mask.flags | ATTRIBUTE_INIT | ATTRIBUTE_DEBUG;",
        "request->attributes_mask.flags;",
    ),
    "key whatever the mask": _simulation("dependencies.attributes.xfrm &= request->attributes_mask.xfrm;"),
    "key without the policy": _simulation("dependencies.policy = request->policy;"),
    "provisioning key": _simulation("case PROVISION_KEY:\n"),
    "key that does not say what it is": _simulation("copy(key, KEY_PREFIX, prefix);"),
}
