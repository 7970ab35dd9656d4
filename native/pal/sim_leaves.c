/*
 * ENCLU leaves other than the transitions. This code runs on the enclave's stack with the application's FS base and live vector registers, so
 * it uses neither.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "log.h"
#include "raw_syscall.h"
#include "sim.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* include/uapi/asm-generic/mman-common.h */
#endif

#define NO_VECTORS __attribute__((target("general-regs-only"), noinline))

NO_VECTORS static void copy(void *to, const void *from, size_t size)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

NO_VECTORS static bool refuse(struct refusal *refusal, const char *why, uint64_t address)
{
    refusal->why = why;
    refusal->address = address;
    refusal->vector = VECTOR_GENERAL_PROTECTION;
    refusal->error_code = 0;
    return false;
}

/* By the EPCM, or since there is no page: the kernel would bring one. */
NO_VECTORS static bool refuse_page(struct refusal *refusal, const char *why, uint64_t address, bool is_write)
{
    uint16_t entry = *epcm_entry(address);
    bool is_there = entry & EPCM_VALID, is_mapped = (entry >> EPCM_TABLE_SHIFT) & (is_write ? SECINFO_W : SECINFO_R);
    refusal->why = why;
    refusal->address = address;
    refusal->vector = VECTOR_PAGE_FAULT;
    refusal->error_code = PAGE_FAULT_USER | (is_write ? PAGE_FAULT_WRITE : 0) | (is_there ? PAGE_FAULT_PRESENT | (is_mapped ? PAGE_FAULT_SGX : 0) : 0);
    return false;
}

/* Operands of leaves must be naturally aligned and in pages of the enclave with the rights that it takes. In which order that is looked at, of several
 * operands, is each leaf's own (SDM volume 3D, "Operation"). */
NO_VECTORS static bool check_place(struct refusal *refusal, uint64_t address, uint64_t alignment)
{
    if (address % alignment != 0) {
        return refuse(refusal, "an operand is not aligned", address);
    }
    return address < ELRANGE_SIZE || refuse(refusal, "an operand is not in the enclave", address);
}

NO_VECTORS static bool check_page_is_there(struct refusal *refusal, uint64_t address, bool is_write)
{
    return (*epcm_entry(address) & EPCM_VALID) || refuse_page(refusal, "there is no page", address, is_write);
}

NO_VECTORS static bool check_rights(struct refusal *refusal, uint64_t address, uint32_t rights)
{
    uint16_t entry = *epcm_entry(address);
    bool is_good = epcm_usable(entry, rights) && (epcm_effective_rights(entry) & rights) == rights;
    return is_good || refuse_page(refusal, "the EPCM or the page table forbids an operand", address, rights & SECINFO_W);
}

NO_VECTORS static bool check_operand(struct refusal *refusal, uint64_t address, uint64_t alignment, uint32_t rights)
{
    return check_place(refusal, address, alignment) && check_rights(refusal, address, rights);
}

#define SECINFO_KNOWN (SECINFO_RIGHTS | SECINFO_PENDING | SECINFO_MODIFIED | SECINFO_PR | SECINFO_TYPE)
#define SECINFO_ALIGNMENT 64

NO_VECTORS static bool read_secinfo(struct refusal *refusal, uint64_t address, uint64_t *flags)
{
    if (!check_rights(refusal, address, SECINFO_R)) {
        return false;
    }
    const uint64_t *words = (const uint64_t *)address;
    uint64_t reserved = words[0] & ~(uint64_t)SECINFO_KNOWN;
    for (unsigned index = 1; index < sizeof(struct secinfo) / sizeof(*words); index++) {
        reserved |= words[index];
    }
    *flags = words[0];
    return !reserved || refuse(refusal, "reserved bits of SECINFO are set", address);
}

NO_VECTORS static bool is_writable_alone(uint64_t rights)
{
    return (rights & (SECINFO_R | SECINFO_W)) == SECINFO_W;
}

/* What EACCEPT compares: all but PR. */
NO_VECTORS static uint32_t epcm_as_secinfo(uint16_t entry)
{
    uint32_t type = (entry & EPCM_TRIM) ? SECINFO_TRIM : (entry & EPCM_TCS) ? SECINFO_TCS : SECINFO_REG;
    return type | (entry & (EPCM_RIGHTS | EPCM_PENDING | EPCM_MODIFIED));
}

NO_VECTORS static void set_rights(uint64_t page, uint32_t before)
{
    uint32_t rights = epcm_effective_rights(*epcm_entry(page));
    if (rights != before && raw_syscall(SYS_mprotect, (long)page, PAGE_SIZE, host_protection(rights), 0) != 0) {
        die("the rights cannot be set of the page at ", page);
    }
}

/*
 * Gate mode: accepting the first page of a run lets all of the run be touched, whose other pages are about to be accepted, in one system call. What
 * another thread stores there meanwhile stays, as it would after the fault that a CPU makes of it.
 */
NO_VECTORS static void expose_run(uint64_t page)
{
    uint64_t end = page;
    for (; end < ELRANGE_SIZE && (*epcm_entry(end) & (EPCM_VALID | EPCM_PENDING | EPCM_EXPOSED)) == (EPCM_VALID | EPCM_PENDING); end += PAGE_SIZE) {
        *epcm_entry(end) |= EPCM_EXPOSED;
    }
    if (end > page && raw_syscall(SYS_mprotect, (long)page, (long)(end - page), host_protection(SECINFO_R | SECINFO_W), 0) != 0) {
        die("the rights cannot be set of the page at ", page);
    }
    if (end > page + PAGE_SIZE) { /* EPC pages are there from EAUG on: one system call in place of a fault for each; kernels before 5.14 do not know it */
        raw_syscall(SYS_madvise, (long)page, (long)(end - page), MADV_POPULATE_WRITE, 0);
    }
}

/* SDM volume 3D, EACCEPT: "the combination of requested PT, PENDING and MODIFIED is legal". */
NO_VECTORS static bool is_acceptable(uint64_t flags)
{
    bool is_pending = flags & SECINFO_PENDING, is_modified = flags & SECINFO_MODIFIED, is_restricted = flags & SECINFO_PR;
    switch (flags & SECINFO_TYPE) {
    case SECINFO_REG:
        return (is_pending || is_restricted) && !is_modified;
    case SECINFO_TCS:
    case SECINFO_TRIM:
        return is_modified && !is_pending && !is_restricted;
    default:
        return false;
    }
}

NO_VECTORS static uint64_t eaccept(struct refusal *refusal, uint64_t secinfo_address, uint64_t page)
{
    uint64_t flags;
    if (!check_place(refusal, secinfo_address, SECINFO_ALIGNMENT) || !read_secinfo(refusal, secinfo_address, &flags) ||
        !check_place(refusal, page, PAGE_SIZE) || !check_page_is_there(refusal, page, true)) {
        return 0;
    }
    if (!is_acceptable(flags)) {
        refuse(refusal, "SECINFO has a state that no page can be accepted in", secinfo_address);
        return 0;
    }
    uint16_t *entry = epcm_entry(page);
    if (epcm_as_secinfo(*entry) != (flags & ~(uint64_t)SECINFO_PR)) {
        return SGX_PAGE_ATTRIBUTES_MISMATCH;
    }
    if (!sim_traps_enclu && (*entry & EPCM_PENDING)) {
        expose_run(page);
    }
    uint32_t before = epcm_effective_rights(*entry);
    *entry &= (uint16_t) ~(EPCM_PENDING | EPCM_MODIFIED | EPCM_PR | EPCM_EXPOSED);
    set_rights(page, before);
    return 0;
}

/* /proc/self/mem, kept open; a child that was forked has another memory. Two threads may both open it: one descriptor is left over then. */
NO_VECTORS static long own_memory(void)
{
    static const char path[] = "/proc/self/mem";
    static uint64_t kept; /* process id, descriptor + 1 */
    uint64_t process = (uint64_t)raw_syscall(SYS_getpid, 0, 0, 0, 0), known = __atomic_load_n(&kept, __ATOMIC_RELAXED);
    if (known >> 32 != process) {
        long file = raw_syscall(SYS_open, (long)path, O_RDWR | O_CLOEXEC, 0, 0);
        if (file < 0) {
            return file;
        }
        known = process << 32 | ((uint64_t)file + 1);
        __atomic_store_n(&kept, known, __ATOMIC_RELAXED);
    }
    return (long)(uint32_t)known - 1;
}

/* Into a page that the page tables hide. Where /proc cannot be used, other threads could touch the page while it is filled. */
NO_VECTORS static void fill_hidden(uint64_t page, uint64_t source)
{
    long file = own_memory();
    long written = file < 0 ? file : raw_syscall(SYS_pwrite64, file, (long)source, PAGE_SIZE, (long)page);
    if (written != PAGE_SIZE) {
        if (raw_syscall(SYS_mprotect, (long)page, PAGE_SIZE, host_protection(SECINFO_R | SECINFO_W), 0) != 0) {
            die("the rights cannot be set of the page at ", page);
        }
        copy((void *)page, (const void *)source, PAGE_SIZE);
        raw_syscall(SYS_mprotect, (long)page, PAGE_SIZE, 0, 0);
    }
}

/* The new page is there with its content and its rights, or not at all. */
NO_VECTORS static uint64_t eacceptcopy(struct refusal *refusal, uint64_t secinfo_address, uint64_t page, uint64_t source)
{
    const uint16_t added = EPCM_VALID | EPCM_PENDING | SECINFO_R | SECINFO_W;
    uint64_t flags;
    if (!check_place(refusal, secinfo_address, SECINFO_ALIGNMENT) || !check_place(refusal, page, PAGE_SIZE) || !check_place(refusal, source, PAGE_SIZE) ||
        !check_page_is_there(refusal, secinfo_address, false) || !check_page_is_there(refusal, page, true) ||
        !check_page_is_there(refusal, source, false) || !read_secinfo(refusal, secinfo_address, &flags)) {
        return 0;
    }
    if ((flags & SECINFO_TYPE) != SECINFO_REG || is_writable_alone(flags)) { /* PENDING, MODIFIED and PR do not count */
        refuse(refusal, "SECINFO has rights or a type that no page can be copied with", secinfo_address);
        return 0;
    }
    if (!check_rights(refusal, source, SECINFO_R)) {
        return 0;
    }
    uint16_t *entry = epcm_entry(page);
    if ((*entry & ~(EPCM_TABLE_RIGHTS | EPCM_EXPOSED)) != added) {
        return SGX_PAGE_ATTRIBUTES_MISMATCH;
    }
    fill_hidden(page, source);
    *entry = (uint16_t)((*entry & EPCM_TABLE_RIGHTS) | EPCM_VALID | (flags & SECINFO_RIGHTS));
    set_rights(page, 0);
    return 0;
}

/* RAX is not changed: the value is what it was. */
NO_VECTORS static uint64_t emodpe(struct refusal *refusal, uint64_t secinfo_address, uint64_t page)
{
    uint64_t flags;
    if (!check_place(refusal, secinfo_address, SECINFO_ALIGNMENT) || !check_place(refusal, page, PAGE_SIZE) ||
        !check_page_is_there(refusal, secinfo_address, false) || !check_page_is_there(refusal, page, true) ||
        !read_secinfo(refusal, secinfo_address, &flags)) {
        return ENCLU_EMODPE;
    }
    uint16_t *entry = epcm_entry(page);
    if (*entry & (EPCM_PENDING | EPCM_MODIFIED | EPCM_TCS | EPCM_TRIM)) {
        refuse_page(refusal, "the page is pending, modified or no regular one", page, true);
        return ENCLU_EMODPE;
    }
    if ((flags & SECINFO_W) && !((*entry | flags) & SECINFO_R)) {
        refuse(refusal, "a page would be writable and not readable", page);
        return ENCLU_EMODPE;
    }
    uint32_t before = epcm_effective_rights(*entry);
    *entry |= (uint16_t)(flags & SECINFO_RIGHTS);
    set_rights(page, before);
    return ENCLU_EMODPE;
}

NO_VECTORS static bool check_reserved(struct refusal *refusal, const void *field, size_t size)
{
    for (size_t index = 0; index < size; index++) {
        if (((const uint8_t *)field)[index]) {
            return refuse(refusal, "a reserved field of an operand is set", (uint64_t)field);
        }
    }
    return true;
}

NO_VECTORS static bool check_target_info(struct refusal *refusal, const struct target_info *target)
{
    return check_reserved(refusal, &target->reserved1, sizeof(target->reserved1)) &&
           check_reserved(refusal, target->reserved2, sizeof(target->reserved2)) &&
           check_reserved(refusal, target->reserved3, sizeof(target->reserved3));
}

/* The other policies, and CONFIGSVN, are those of KSS, which is off. */
NO_VECTORS static bool check_key_request(struct refusal *refusal, const struct key_request *request)
{
    if ((request->policy & ~(KEY_POLICY_MRENCLAVE | KEY_POLICY_MRSIGNER)) || request->config_svn) {
        return refuse(refusal, "KEYPOLICY or CONFIGSVN has what only enclaves with KSS may use", (uint64_t)request);
    }
    return check_reserved(refusal, &request->reserved1, sizeof(request->reserved1)) &&
           check_reserved(refusal, request->reserved2, sizeof(request->reserved2));
}

NO_VECTORS static uint64_t ereport(struct refusal *refusal, uint64_t target, uint64_t data, uint64_t report)
{
    if (check_operand(refusal, target, 512, SECINFO_R) && check_target_info(refusal, (const struct target_info *)target) &&
        check_operand(refusal, data, 128, SECINFO_R) && check_operand(refusal, report, 512, SECINFO_W)) {
        sim_ereport((const struct target_info *)target, (const uint8_t *)data, (struct report *)report);
    }
    return ENCLU_EREPORT;
}

NO_VECTORS static uint64_t egetkey(struct refusal *refusal, uint64_t request, uint64_t key)
{
    bool is_good = check_operand(refusal, request, 512, SECINFO_R) && check_operand(refusal, key, 16, SECINFO_W) &&
                   check_key_request(refusal, (const struct key_request *)request);
    return is_good ? sim_egetkey((const struct key_request *)request, (uint8_t *)key) : 0;
}

NO_VECTORS uint64_t sim_leaf(uint64_t leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx, struct refusal *refusal)
{
    switch (leaf) {
    case ENCLU_EACCEPT:
        return eaccept(refusal, rbx, rcx);
    case ENCLU_EMODPE:
        return emodpe(refusal, rbx, rcx);
    case ENCLU_EACCEPTCOPY:
        return eacceptcopy(refusal, rbx, rcx, rdx);
    case ENCLU_EREPORT:
        return ereport(refusal, rbx, rcx, rdx);
    case ENCLU_EGETKEY:
        return egetkey(refusal, rbx, rcx);
    default:
        refuse(refusal, "no such leaf inside of an enclave", leaf);
        return leaf;
    }
}

/* Gate mode. Nothing was trapped that could become an exception, but for a page that is not there: the LibOS knows what its code says. */
NO_VECTORS uint64_t sim_gate_leaf(uint64_t leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx)
{
    struct refusal refusal;
    refusal.why = NULL;
    uint64_t result = sim_leaf(leaf, rbx, rcx, rdx, &refusal);
    if (!refusal.why) {
        return result;
    }
    if ((leaf == ENCLU_EACCEPT || leaf == ENCLU_EACCEPTCOPY) && refusal.vector == VECTOR_PAGE_FAULT && refusal.address == rcx) {
        return SGX_PAGE_ATTRIBUTES_MISMATCH;
    }
    log_raw_hex("enclavize: ENCLU leaf ", leaf);
    log_raw(" is refused: ");
    log_raw(refusal.why);
    die(", address ", refusal.address);
}
