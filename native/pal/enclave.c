#define _GNU_SOURCE
#include "enclave.h"

#include <cpuid.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "crypto.h"
#include "log.h"
#include "sigstruct.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define PAGES_IN_ELRANGE (ELRANGE_SIZE / PAGE_SIZE)
#define EXTEND_CHUNK 256
#define EXTENDED_MAX 0xE7ULL /* x87, SSE, AVX, AVX-512: what one SSA page and the LibOS have room for */
#define XSAVE_SIZE_MAX 2688U

uint16_t *epcm;

/* MRENCLAVE: records of 64 bytes (SDM volume 3D, ECREATE, EADD, EEXTEND). */

struct record {
    char name[8];
    union {
        struct {
            uint32_t ssa_frame_pages;
            uint64_t size;
        } __attribute__((packed)) ecreate;
        struct {
            uint64_t offset;
            uint64_t flags;
        } eadd;
        struct {
            uint64_t offset;
        } eextend;
        uint8_t bytes[56];
    };
};
_Static_assert(sizeof(struct record) == 64, "measurement record");

struct build {
    struct enclave *enclave;
    struct sha256 measurement;
};

static void measure_page(struct build *build, uint64_t address, uint64_t flags, bool content)
{
    struct record record = {.name = "EADD", .eadd = {.offset = address - ELRANGE_START, .flags = flags}};
    sha256_update(&build->measurement, &record, sizeof(record));
    for (uint64_t chunk = 0; content && chunk < PAGE_SIZE; chunk += EXTEND_CHUNK) {
        record = (struct record){.name = {'E', 'E', 'X', 'T', 'E', 'N', 'D', 0}, .eextend = {.offset = address - ELRANGE_START + chunk}};
        sha256_update(&build->measurement, &record, sizeof(record));
        sha256_update(&build->measurement, (const uint8_t *)address + chunk, EXTEND_CHUNK);
    }
}

static void fill_page(const struct enclave_page *page)
{
    uint8_t *to = (uint8_t *)page->address;
    if (page->content) {
        memcpy(to + page->content_offset, page->content, page->content_size);
    } else if (page->fill) {
        for (uint32_t *word = (uint32_t *)to; word < (uint32_t *)(to + PAGE_SIZE); word++) {
            *word = page->fill;
        }
    }
}

static int remember_tcs(struct enclave *enclave, uint64_t address)
{
    if (enclave->tcs_count == TCS_MAX) {
        return fail(-ENOEXEC, "the enclave file has more than %u threads", TCS_MAX);
    }
    enclave->tcs_addresses[enclave->tcs_count++] = address;
    return 0;
}

/* EADD and EEXTEND. ELRANGE is writable while this runs. */
static int add_page(void *context, const struct enclave_page *page)
{
    struct build *build = context;
    struct enclave *enclave = build->enclave;
    uint32_t type = page->flags & SECINFO_TYPE;
    if (page->address < enclave->image_start || page->address >= enclave->image_end || (type != SECINFO_REG && type != SECINFO_TCS) ||
        (page->flags & ~(uint64_t)(SECINFO_TYPE | SECINFO_RIGHTS)) != 0) {
        return fail(-ENOEXEC, "the enclave file is malformed: the page at 0x%llx is impossible", (unsigned long long)page->address);
    }
    uint16_t *entry = epcm_entry(page->address);
    if (*entry & EPCM_VALID) {
        return fail(-ENOEXEC, "the enclave file is malformed: the page at 0x%llx is there twice", (unsigned long long)page->address);
    }
    uint32_t rights = page->flags & SECINFO_RIGHTS;
    *entry = (uint16_t)(EPCM_VALID | rights | (rights << EPCM_TABLE_SHIFT) | (type == SECINFO_TCS ? EPCM_TCS : 0));
    fill_page(page);
    measure_page(build, page->address, page->flags, page->measured);
    return type == SECINFO_TCS ? remember_tcs(enclave, page->address) : 0;
}

/* The simulated CPU keeps TCS pages for itself: they stay readable and writable for the PAL. */
static uint32_t rights_of(uint16_t entry)
{
    return (entry & EPCM_TCS) ? SECINFO_R | SECINFO_W : epcm_effective_rights(entry);
}

int enclave_apply_rights(uint64_t address, uint64_t length)
{
    uint64_t start = address;
    while (start < address + length) {
        uint32_t rights = rights_of(*epcm_entry(start));
        uint64_t end = start + PAGE_SIZE;
        while (end < address + length && rights_of(*epcm_entry(end)) == rights) {
            end += PAGE_SIZE;
        }
        if (mprotect((void *)start, end - start, host_protection(rights)) != 0) {
            return -errno;
        }
        start = end;
    }
    return 0;
}

static bool all_pages(uint64_t address, uint64_t length, uint16_t wanted)
{
    if (address % PAGE_SIZE != 0 || address >= ELRANGE_SIZE || length > ELRANGE_SIZE - address) {
        return false;
    }
    for (uint64_t page = address; page < address + length; page += PAGE_SIZE) {
        if ((*epcm_entry(page) & (wanted | EPCM_TCS)) != wanted) {
            return false;
        }
    }
    return true;
}

/* What EENTER would refuse later, and what the simulator relies on. */
static int check_threads(struct enclave *enclave)
{
    for (uint32_t index = 0; index < enclave->tcs_count; index++) {
        const struct tcs *tcs = (const struct tcs *)enclave->tcs_addresses[index];
        uint64_t td_offset = tcs->ogsbase - (uint64_t)tcs;
        if (tcs->cssa != 0 || tcs->nssa != 2 || tcs->state != 0 || tcs->hidden_thread != 0 ||
            !all_pages(tcs->ossa, tcs->nssa * enclave->ssa_frame_size, EPCM_VALID | SECINFO_R | SECINFO_W) ||
            !all_pages(tcs->ogsbase, PAGE_SIZE, EPCM_VALID | SECINFO_R | SECINFO_W) ||
            !all_pages(tcs->oentry & ~(PAGE_SIZE - 1), PAGE_SIZE, EPCM_VALID | SECINFO_R | SECINFO_X) ||
            (index > 0 && td_offset != enclave->td_offset)) {
            return fail(-ENOEXEC, "the enclave file is malformed: thread %u is impossible", index);
        }
        enclave->td_offset = td_offset;
    }
    return enclave->tcs_count ? 0 : fail(-ENOEXEC, "the enclave file is malformed: it has no thread");
}

/* Everything from the first mappable page on, without rights and without commitment. */
static int reserve(void)
{
    void *start = (void *)APPLICATION_START;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *got = mmap(start, ELRANGE_SIZE - APPLICATION_START, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0);
    if (got == MAP_FAILED) {
        return fail(-errno, "the enclave's address range (64 KiB to 64 GiB) cannot be reserved: %s%s", strerror(errno),
                    errno == EEXIST ? "; the program must be loaded above it (position independent)"
                                    : errno == ENOMEM ? "; is `ulimit -v` set?"
                                                      : errno == EPERM ? "; is vm.mmap_min_addr above 64 KiB?" : "");
    }
    if (got != start) { /* a kernel before 4.17 takes the address as a hint */
        munmap(got, ELRANGE_SIZE - APPLICATION_START);
        return fail(-EEXIST, "the enclave's address range (64 KiB to 64 GiB) is in use");
    }
    epcm = mmap(NULL, PAGES_IN_ELRANGE * sizeof(*epcm), PROT_READ | PROT_WRITE, flags, -1, 0);
    if (epcm == MAP_FAILED) {
        epcm = NULL;
        return fail(-errno, "there is no memory for the table of pages");
    }
    return 0;
}

void enclave_release(void)
{
    munmap((void *)APPLICATION_START, ELRANGE_SIZE - APPLICATION_START);
    if (epcm) {
        munmap(epcm, PAGES_IN_ELRANGE * sizeof(*epcm));
    }
    epcm = NULL;
}

static uint64_t enabled_features(void)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) {
        return 0;
    }
    __asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a | (uint64_t)d << 32;
}

/* As a driver builds SECS: what the file asks for, less what the CPU cannot do. */
static int choose_attributes(struct enclave *enclave, const struct enclave_file *file)
{
    enclave->misc_select = file->misc_select & MISC_EXINFO;
    enclave->attributes = (struct attributes){
        .flags = (file->attributes.flags & ~(ATTRIBUTE_INIT | ATTRIBUTE_DEBUG)) |
                 (sigstruct_allows_debug(&file->sigstruct) ? ATTRIBUTE_DEBUG : 0),
        .xfrm = file->attributes.xfrm & enabled_features() & EXTENDED_MAX,
    };
    if (enclave->attributes.flags & (ATTRIBUTE_PROVISION_KEY | ATTRIBUTE_EINITTOKEN_KEY)) {
        return fail(-ENOEXEC, "the enclave file asks for the provisioning or launch key");
    }
    if (!(enclave->attributes.flags & ATTRIBUTE_MODE64) || (enclave->attributes.xfrm & XFRM_LEGACY) != XFRM_LEGACY) {
        return fail(-ENOEXEC, "the enclave file asks for impossible attributes");
    }
    if (!(enclave->misc_select & MISC_EXINFO)) {
        return fail(-ENOEXEC, "the enclave file does not ask for EXINFO (MiscSelect 1), which the builtin LibOS needs");
    }
    if (file->ssa_frame_pages * PAGE_SIZE < XSAVE_SIZE_MAX + sizeof(struct ssa_exinfo) + sizeof(struct ssa_gpr)) {
        return fail(-ENOEXEC, "the enclave file's SSA frames are too small");
    }
    return 0;
}

static int add_all(struct build *build, const struct enclave_file *file)
{
    struct enclave *enclave = build->enclave;
    const struct record ecreate = {.name = {'E', 'C', 'R', 'E', 'A', 'T', 'E', 0},
                                   .ecreate = {.ssa_frame_pages = file->ssa_frame_pages, .size = file->elrange_size}};
    if (mprotect((void *)enclave->image_start, file->enclave_size, PROT_READ | PROT_WRITE) != 0) {
        return fail(-errno, "there is no memory for the enclave");
    }
    sha256_start(&build->measurement);
    sha256_update(&build->measurement, &ecreate, sizeof(ecreate));
    int error = enclave_file_pages(file, add_page, build);
    if (error) {
        return error;
    }
    sha256_finish(&build->measurement, enclave->mrenclave);
    return 0;
}

int enclave_build(struct enclave *enclave, const struct enclave_file *file)
{
    *enclave = (struct enclave){
        .isv_prod_id = file->sigstruct.isv_prod_id,
        .isv_svn = file->sigstruct.isv_svn,
        .ssa_frame_size = file->ssa_frame_pages * PAGE_SIZE,
        .image_start = file->image_address,
        .image_end = file->image_address + file->enclave_size,
        .stub_address = file->stub_address,
    };
    struct build build = {.enclave = enclave};
    int error = choose_attributes(enclave, file);
    if (!error) {
        error = reserve();
    }
    if (error) {
        return error;
    }
    error = add_all(&build, file);
    if (!error) {
        error = sigstruct_match(&file->sigstruct, enclave->mrenclave, enclave->attributes, enclave->misc_select);
    }
    if (!error) {
        error = check_threads(enclave);
    }
    if (!error && enclave_apply_rights(enclave->image_start, file->enclave_size) != 0) {
        error = fail(-ENOMEM, "the rights of the enclave's pages cannot be set");
    }
    if (error) {
        enclave_release();
        return error;
    }
    sigstruct_mrsigner(&file->sigstruct, enclave->mrsigner);
    enclave->attributes.flags |= ATTRIBUTE_INIT;
    return 0;
}
