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

/* Operands of leaves must be naturally aligned and in pages of the enclave with these rights; anything else is #GP or #PF on a CPU. */
NO_VECTORS static void check_operand(uint64_t address, uint64_t alignment, uint32_t rights)
{
    if (address % alignment != 0 || address >= ELRANGE_SIZE) {
        die("ENCLU with a bad operand at ", address);
    }
    if (!epcm_usable(*epcm_entry(address), rights)) {
        die("ENCLU with an operand that the page's rights forbid at ", address);
    }
}

NO_VECTORS static uint32_t epcm_as_secinfo(uint16_t entry)
{
    uint32_t type = (entry & EPCM_TRIM) ? SECINFO_TRIM : (entry & EPCM_TCS) ? SECINFO_TCS : SECINFO_REG;
    return type | (entry & (EPCM_RIGHTS | EPCM_PENDING | EPCM_MODIFIED | EPCM_PR));
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

NO_VECTORS static uint64_t eaccept(uint64_t secinfo_address, uint64_t page)
{
    check_operand(secinfo_address, 64, SECINFO_R);
    uint64_t flags = *(const uint64_t *)secinfo_address;
    if (page % PAGE_SIZE != 0 || page >= ELRANGE_SIZE) {
        die("EACCEPT of ", page);
    }
    uint16_t *entry = epcm_entry(page);
    if (!(*entry & EPCM_VALID) || epcm_as_secinfo(*entry) != flags || !(*entry & (EPCM_PENDING | EPCM_MODIFIED | EPCM_PR))) {
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
NO_VECTORS static uint64_t eacceptcopy(uint64_t secinfo_address, uint64_t page, uint64_t source)
{
    const uint16_t added = EPCM_VALID | EPCM_PENDING | SECINFO_R | SECINFO_W;
    check_operand(secinfo_address, 64, SECINFO_R);
    check_operand(source, PAGE_SIZE, SECINFO_R);
    uint64_t flags = *(const uint64_t *)secinfo_address;
    if ((flags & ~(uint64_t)SECINFO_RIGHTS) != SECINFO_REG || (flags & (SECINFO_R | SECINFO_W)) == SECINFO_W || page % PAGE_SIZE != 0 ||
        page >= ELRANGE_SIZE) {
        die("EACCEPTCOPY to ", page);
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

NO_VECTORS static uint64_t emodpe(uint64_t secinfo_address, uint64_t page)
{
    check_operand(secinfo_address, 64, SECINFO_R);
    uint32_t rights = *(const uint64_t *)secinfo_address & SECINFO_RIGHTS;
    check_operand(page, PAGE_SIZE, 0);
    uint16_t *entry = epcm_entry(page);
    if (((*entry | rights) & (SECINFO_R | SECINFO_W)) == SECINFO_W) {
        die("EMODPE to writable but not readable of ", page);
    }
    uint32_t before = epcm_effective_rights(*entry);
    *entry |= (uint16_t)rights;
    set_rights(page, before);
    return 0;
}

NO_VECTORS static uint64_t ereport(uint64_t target, uint64_t data, uint64_t report)
{
    check_operand(target, 512, SECINFO_R);
    check_operand(data, 128, SECINFO_R);
    check_operand(report, 512, SECINFO_R | SECINFO_W);
    sim_ereport((const struct target_info *)target, (const uint8_t *)data, (struct report *)report);
    return 0;
}

NO_VECTORS static uint64_t egetkey(uint64_t request, uint64_t key)
{
    check_operand(request, 512, SECINFO_R);
    check_operand(key, 16, SECINFO_R | SECINFO_W);
    return sim_egetkey((const struct key_request *)request, (uint8_t *)key);
}

NO_VECTORS uint64_t sim_leaf(uint64_t leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx)
{
    switch (leaf) {
    case ENCLU_EACCEPT:
        return eaccept(rbx, rcx);
    case ENCLU_EMODPE:
        return emodpe(rbx, rcx);
    case ENCLU_EACCEPTCOPY:
        return eacceptcopy(rbx, rcx, rdx);
    case ENCLU_EREPORT:
        return ereport(rbx, rcx, rdx);
    case ENCLU_EGETKEY:
        return egetkey(rbx, rcx);
    default:
        die("an ENCLU leaf that is not simulated: ", leaf);
    }
}
