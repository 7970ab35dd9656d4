#include "enclave.h"

#include <cpuid.h>
#include <errno.h>
#include <string.h>

#include "crypto.h"
#include "log.h"
#include "machine.h"
#include "sigstruct.h"

#define EXTEND_CHUNK 256
#define EXTENDED_MAX 0xE7ULL /* x87, SSE, AVX, AVX-512: what one SSA page and the LibOS have room for */
#define XSAVE_SIZE_MAX 2688U

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
    uint8_t page[PAGE_SIZE];
};

static const uint8_t ZEROS[PAGE_SIZE];

static void measure_page(struct build *build, const struct enclave_page *page, const uint8_t *content)
{
    uint64_t offset = page->address - ELRANGE_START;
    struct record record = {.name = "EADD", .eadd = {.offset = offset, .flags = page->flags}};
    sha256_update(&build->measurement, &record, sizeof(record));
    for (uint64_t chunk = 0; page->measured && chunk < PAGE_SIZE; chunk += EXTEND_CHUNK) {
        record = (struct record){.name = {'E', 'E', 'X', 'T', 'E', 'N', 'D', 0}, .eextend = {.offset = offset + chunk}};
        sha256_update(&build->measurement, &record, sizeof(record));
        sha256_update(&build->measurement, content + chunk, EXTEND_CHUNK);
    }
}

/* The page as it is added; NULL: it is all zeros, and need not be looked at. */
static const uint8_t *content_of(struct build *build, const struct enclave_page *page)
{
    if (page->content) {
        memset(build->page, 0, PAGE_SIZE);
        memcpy(build->page + page->content_offset, page->content, page->content_size);
        return build->page;
    }
    if (page->fill) {
        for (size_t at = 0; at < PAGE_SIZE; at += sizeof(page->fill)) {
            memcpy(build->page + at, &page->fill, sizeof(page->fill));
        }
        return build->page;
    }
    return NULL;
}

static int remember_tcs(struct enclave *enclave, uint64_t address)
{
    if (enclave->tcs_count == TCS_MAX) {
        return fail(-ENOEXEC, "the enclave file has more than %u threads", TCS_MAX);
    }
    enclave->tcs_addresses[enclave->tcs_count++] = address;
    return 0;
}

/* EADD and EEXTEND. */
static int add_page(void *context, const struct enclave_page *page)
{
    struct build *build = context;
    struct enclave *enclave = build->enclave;
    uint32_t type = page->flags & SECINFO_TYPE;
    if (page->address < enclave->image_start || page->address >= enclave->image_end || (type != SECINFO_REG && type != SECINFO_TCS) ||
        (page->flags & ~(uint64_t)(SECINFO_TYPE | SECINFO_RIGHTS)) != 0) {
        return fail(-ENOEXEC, "the enclave file is malformed: the page at 0x%llx is impossible", (unsigned long long)page->address);
    }
    const uint8_t *content = content_of(build, page);
    int error = machine->add_page(page->address, content, page->flags, page->measured);
    if (error == -EEXIST) {
        return fail(-ENOEXEC, "the enclave file is malformed: the page at 0x%llx is there twice", (unsigned long long)page->address);
    }
    if (error) {
        return error;
    }
    measure_page(build, page, content ? content : ZEROS);
    return type == SECINFO_TCS ? remember_tcs(enclave, page->address) : 0;
}

uint64_t enclave_enabled_features(void)
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
    enclave->attributes = (struct sgx_attributes){
        .flags = (file->attributes.flags & ~(ATTRIBUTE_INIT | ATTRIBUTE_DEBUG)) |
                 (sigstruct_allows_debug(&file->sigstruct) ? ATTRIBUTE_DEBUG : 0),
        .xfrm = file->attributes.xfrm & enclave_enabled_features() & machine->features() & EXTENDED_MAX,
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
        .elrange_size = file->elrange_size,
        .ssa_frame_size = file->ssa_frame_pages * PAGE_SIZE,
        .image_start = file->image_address,
        .image_end = file->image_address + file->enclave_size,
        .stub_address = file->stub_address,
    };
    struct build build = {.enclave = enclave};
    int error = choose_attributes(enclave, file);
    if (!error) {
        error = machine->create(enclave);
    }
    if (error) {
        return error;
    }
    error = add_all(&build, file);
    if (!error && enclave->tcs_count == 0) {
        error = fail(-ENOEXEC, "the enclave file is malformed: it has no thread");
    }
    if (!error) {
        error = sigstruct_match(&file->sigstruct, enclave->mrenclave, enclave->attributes, enclave->misc_select);
    }
    if (!error) {
        error = machine->initialise(enclave, &file->sigstruct);
    }
    if (error) {
        machine->release();
        return error;
    }
    sigstruct_mrsigner(&file->sigstruct, enclave->mrsigner);
    enclave->attributes.flags |= ATTRIBUTE_INIT;
    return 0;
}
