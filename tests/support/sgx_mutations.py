"""Faults to plant in the PAL on SGX hardware: for each kind of check in the manuals, one at least."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """``old`` stands in ``file`` once. ``fake``: the fake's settings under which it is found."""

    file: str
    old: str
    new: str
    arguments: tuple[str, ...] = ("abuse", "cycle")
    fake: dict[str, str | int] = field(default_factory=dict)


_DRIVER, _MEMORY, _ENTER = "sgx_driver.c", "sgx_memory.c", "sgx_enter.c"
_BY_PARTS: dict[str, str | int] = {"partial": 2}

MUTATIONS = {
    "size of SECS": Mutation(
        file=_DRIVER, old=".size = enclave->elrange_size,", new=".size = enclave->elrange_size / 2,"
    ),
    "base that is not aligned to the size": Mutation(
        file=_DRIVER, old=".base = ELRANGE_START,", new=".base = PAGE_SIZE,"
    ),
    "SSA frames without room": Mutation(
        file=_DRIVER,
        old=".ssa_frame_pages = (uint32_t)(enclave->ssa_frame_size / PAGE_SIZE),",
        new=".ssa_frame_pages = 0,",
    ),
    "unknown MISCSELECT": Mutation(
        file=_DRIVER, old=".misc_select = enclave->misc_select,", new=".misc_select = 3,"
    ),
    "no EXINFO": Mutation(file=_DRIVER, old=".misc_select = enclave->misc_select,", new=".misc_select = 0,"),
    "provisioning key": Mutation(
        file=_DRIVER,
        old=".attributes = enclave->attributes,",
        new=".attributes = {enclave->attributes.flags | 16, 3},",
    ),
    "XFRM without SSE": Mutation(
        file=_DRIVER,
        old=".attributes = enclave->attributes,",
        new=".attributes = {enclave->attributes.flags, 1},",
    ),
    "rights of a TCS": Mutation(
        file=_DRIVER,
        old="const struct secinfo secinfo = {.flags = batch.flags};",
        new="const struct secinfo secinfo = {.flags = batch.flags | 3};",
    ),
    "reserved bits of SECINFO": Mutation(
        file=_DRIVER,
        old="const struct secinfo secinfo = {.flags = batch.flags};",
        new="const struct secinfo secinfo = {.flags = batch.flags, .reserved = {1}};",
    ),
    "pages that are not measured": Mutation(
        file=_DRIVER, old=".flags = batch.is_measured ? SGX_PAGE_MEASURE : 0,", new=".flags = 0,"
    ),
    "a source that is not aligned": Mutation(
        file=_DRIVER,
        old=".src = (uint64_t)batch.bytes + done,",
        new=".src = (uint64_t)batch.bytes + done + 16,",
    ),
    "bytes of the wrong page": Mutation(
        file=_DRIVER,
        old=".src = (uint64_t)batch.bytes + done,",
        new=".src = (uint64_t)batch.bytes,",
        fake=_BY_PARTS,
    ),
    "a part that is taken for the whole": Mutation(
        file=_DRIVER, old="done += add.count;", new="done = batch.length;", fake=_BY_PARTS
    ),
    "a request that the kernel has begun again": Mutation(
        file=_DRIVER, old="if (done == batch.length) {", new="if (done) {", fake=_BY_PARTS
    ),
    "EINTR that is an error": Mutation(
        file=_DRIVER,
        old="(error && error != EINTR && error != EAGAIN) || add.count",
        new="error || add.count",
        fake=_BY_PARTS,
    ),
    "no EINIT": Mutation(
        file=_DRIVER, old="error = initialise(sigstruct);", new="(void)initialise, (void)sigstruct;"
    ),
    "mappings with more rights than pages": Mutation(
        file=_DRIVER,
        old="error = map(runs[index].start, runs[index].end, runs[index].rights);",
        new="error = map(runs[index].start, runs[index].end, SECINFO_RIGHTS);",
    ),
    "mappings with fewer rights than pages": Mutation(
        file=_DRIVER,
        old="error = map(runs[index].start, runs[index].end, runs[index].rights);",
        new="error = map(runs[index].start, runs[index].end, SECINFO_R);",
    ),
    "a private mapping": Mutation(file=_DRIVER, old="MAP_SHARED | MAP_FIXED", new="MAP_PRIVATE | MAP_FIXED"),
    "dynamic memory that is not mapped": Mutation(
        file=_DRIVER,
        old="SECINFO_R | SECINFO_W | SECINFO_X);\n    if (!error) {",
        new="SECINFO_R);\n    if (!error) {",
    ),
    "old answers in a request": Mutation(file=_MEMORY, old="*fields.count = 0;", new="", fake=_BY_PARTS),
    "EBUSY of a page that is being written out": Mutation(
        file=_MEMORY, old="error == EAGAIN || error == EBUSY", new="error == EAGAIN", fake=_BY_PARTS
    ),
    "a request that is not continued": Mutation(
        file=_MEMORY, old="*fields.length -= count;", new="*fields.length = 0;", fake=_BY_PARTS
    ),
    "a restriction to other rights": Mutation(
        file=_MEMORY, old=".permissions = rights}", new=".permissions = rights | 2}"
    ),
    "a restriction that is not made": Mutation(
        file=_MEMORY,
        old="return ask(SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS, &restriction,",
        new="return 1 ? 0 : ask(SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS, &restriction,",
    ),
    "pages that become TCSs": Mutation(file=_MEMORY, old=".page_type = PAGE_TYPE_TRIM", new=".page_type = 1"),
    "removing what was not trimmed": Mutation(
        file=_MEMORY,
        old="return ask(SGX_IOC_ENCLAVE_MODIFY_TYPES, &types,",
        new="return 1 ? 0 : ask(SGX_IOC_ENCLAVE_MODIFY_TYPES, &types,",
    ),
    "pages that are not removed": Mutation(
        file=_MEMORY,
        old="return ask(SGX_IOC_ENCLAVE_REMOVE_PAGES, &pages,",
        new="return *(volatile uint64_t *)&pages.length ? 0 : ask(SGX_IOC_ENCLAVE_REMOVE_PAGES, &pages,",
    ),
    "features that the CPU does not give to enclaves": Mutation(
        file="sgx_machine.c",
        old="return sgx_processor().allowed.xfrm;",
        new="return ~0ULL;",
        fake={"cpu": "sse"},
    ),
    "reserved bytes of struct sgx_enclave_run": Mutation(
        file=_ENTER,
        old=".user_data = (uint64_t)thread}",
        new=".user_data = (uint64_t)thread, .reserved = {[215] = 1}}",
    ),
    "another TCS": Mutation(
        file=_ENTER, old=".tcs = (uint64_t)thread->tcs,", new=".tcs = (uint64_t)thread->tcs + PAGE_SIZE,"
    ),
    "an exception that the enclave is not told of": Mutation(
        file=_ENTER, old="return ENCLU_EENTER;", new="return ENCLU_ERESUME;", arguments=("torture", "1", "50")
    ),
    "ERESUME of what was not interrupted": Mutation(
        file=_ENTER,
        old="sgx_call(ecall, thread->exchange, ENCLU_EENTER,",
        new="sgx_call(ecall, thread->exchange, ENCLU_ERESUME,",
    ),
    "an interrupt of what handles an exception": Mutation(
        file=_ENTER,
        old="} else if (!thread->sgx.is_handling) {",
        new="} else {",
        arguments=("torture", "1", "50"),
        fake={"interrupt": 3},
    ),
    "looking at a page of the enclave": Mutation(
        file=_ENTER,
        old="thread->tid = (pid_t)syscall(SYS_gettid);",
        new="thread->tid = (pid_t)syscall(SYS_gettid) + (*(volatile uint32_t *)thread->tcs & 0);",
    ),
}
