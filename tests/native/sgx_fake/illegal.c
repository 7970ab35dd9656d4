/*
 * Small enclaves, each with one flaw, on the machine's interface (native/pal/machine.h), strict simulation or the one that is hardware: which leaf refuses it,
 * and how.
 *
 *     illegal measure                     MRENCLAVE of each, one a line
 *     illegal MACHINE NAME SIGSTRUCT      MACHINE: trap, step, hw; SIGSTRUCT: a file
 *
 * It prints what was answered: "ENCLU 19", "exception 13, error code 0", "runs", or the failure; or the process ends with a message.
 *
 * Pages: code; data (struct program, and the stack's end); a page of zeros; SSA, two frames; TCS; what GS points to.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "enclave.h"
#include "log.h"
#include "machine.h"
#include "sim_rules.h"

#define BASE ENCLAVE_IMAGE_ADDRESS
enum page { CODE, DATA, ZEROS, SSA, TCS = SSA + 2, LOCAL, PAGE_COUNT };
#define AT(page) (BASE + (page) * PAGE_SIZE)
#define DYNAMIC 0x20000000ULL /* a page that is added when the enclave runs */
#define MISSING 0x30000000ULL /* and one that never is */

extern const uint8_t code_page[], code_slot[];

/* The first bytes of the page DATA. Offsets of operands in it: */
struct program {
    uint64_t rax, rbx, rcx, rdx;
    uint64_t poke, value; /* what is stored where after an exception; poke 0: nothing */
};
#define SECINFO_AT 512  /* a SECINFO, of `secinfo` */
#define REQUEST_AT 1024 /* `request`, a KEYREQUEST or a TARGETINFO */
#define DATA_AT(offset) (AT(DATA) + (offset))

struct sheet {
    uint8_t bytes[PAGE_COUNT][PAGE_SIZE];
    uint64_t flags[PAGE_COUNT];
    bool is_left_out[PAGE_COUNT];
    struct enclave enclave;
    struct sigstruct sigstruct;
    uint64_t secinfo[8];
    struct program program;
    uint16_t request[256];
    bool adds, restricts; /* the page DYNAMIC, before the entry */
};

static void put(struct sheet *sheet, const char *code, size_t size)
{
    memcpy(sheet->bytes[CODE] + (code_slot - code_page), code, size);
}

static struct tcs *tcs_of(struct sheet *sheet)
{
    return (struct tcs *)sheet->bytes[TCS];
}

static void set_leaf(struct sheet *sheet, uint64_t leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx)
{
    sheet->program = (struct program){.rax = leaf, .rbx = rbx, .rcx = rcx, .rdx = rdx};
}

/* The flaws. Those of ECREATE, EADD and EINIT change the sheet; those of what runs inside, the program. */

#define FLAW(name, ...) static void name(struct sheet *s) { __VA_ARGS__; }
FLAW(none, set_leaf(s, ENCLU_EREPORT, AT(ZEROS), AT(ZEROS), DATA_AT(2048)))
FLAW(size_no_power, s->enclave.elrange_size -= PAGE_SIZE)
FLAW(size_of_a_page, s->enclave.elrange_size = PAGE_SIZE)
FLAW(no_ssa, s->enclave.ssa_frame_size = 0)
FLAW(unknown_misc, s->enclave.misc_select |= 4)
FLAW(unknown_attribute, s->enclave.attributes.flags |= 1ULL << 40)
FLAW(initialised_attribute, s->enclave.attributes.flags |= ATTRIBUTE_INIT)
FLAW(no_mode64, s->enclave.attributes.flags &= ~ATTRIBUTE_MODE64)
FLAW(no_sse, s->enclave.attributes.xfrm = 1)
FLAW(unknown_xfrm, s->enclave.attributes.xfrm |= 1ULL << 40)
FLAW(writable_alone, s->flags[ZEROS] = SECINFO_REG | SECINFO_W)
FLAW(reserved_secinfo, s->flags[ZEROS] |= 1ULL << 20)
FLAW(pending_at_eadd, s->flags[ZEROS] |= SECINFO_PENDING)
FLAW(page_type, s->flags[ZEROS] = SECINFO_TRIM)
FLAW(tcs_rights, s->flags[TCS] |= SECINFO_R)
FLAW(tcs_flags, tcs_of(s)->flags = 2)
FLAW(tcs_reserved, tcs_of(s)->reserved[100] = 1)
FLAW(tcs_ossa, tcs_of(s)->ossa += 64)
FLAW(tcs_ogsbase, tcs_of(s)->ogsbase += 8)
FLAW(tcs_ossa_outside, tcs_of(s)->ossa = 1ULL << 46)
FLAW(tcs_oentry, tcs_of(s)->oentry = 1ULL << 60)
FLAW(tcs_ofsbase, tcs_of(s)->ofsbase = 1ULL << 60)
FLAW(tcs_state, *tcs_of(s) = (struct tcs){.state = 1, .flags = 1, .ossa = AT(SSA), .cssa = 7, .nssa = 2, .oentry = AT(CODE), .aep = BASE, .ogsbase = AT(LOCAL)};
     set_leaf(s, ENCLU_EREPORT, AT(ZEROS), AT(ZEROS), DATA_AT(2048)))
#define measurement none /* the test signs another one */
FLAW(signature, s->sigstruct.signature[0] ^= 1)
FLAW(quotient, s->sigstruct.q1[0] ^= 1)
FLAW(sigstruct_header, s->sigstruct.header[0] ^= 1)
FLAW(sigstruct_vendor, s->sigstruct.vendor = 1)
FLAW(isv_family, )
FLAW(demanded_attribute, s->sigstruct.attributes.flags |= 1ULL << 40)
FLAW(demanded_misc, s->sigstruct.misc_select |= 4)
FLAW(demanded_features, s->sigstruct.attributes.xfrm |= 1ULL << 40)
FLAW(attribute_mask, s->enclave.attributes.flags ^= ATTRIBUTE_DEBUG)
FLAW(provision_key, s->enclave.attributes.flags |= ATTRIBUTE_PROVISION_KEY)
FLAW(launch_key, s->enclave.attributes.flags |= ATTRIBUTE_EINITTOKEN_KEY)
FLAW(no_tcs, s->enclave.tcs_addresses[0] = AT(LOCAL))
FLAW(one_frame, tcs_of(s)->nssa = 1; put(s, "\x0F\x0B", 2))
FLAW(no_frame, tcs_of(s)->nssa = 0)
FLAW(frame_left_out, s->is_left_out[SSA] = true)
FLAW(frame_read_only, s->flags[SSA] = SECINFO_REG | SECINFO_R)
#define GPR(field) (AT(SSA) + PAGE_SIZE - sizeof(struct ssa_gpr) + offsetof(struct ssa_gpr, field))
#define XSTATE_BV (AT(SSA) + 512)
FLAW(resume_features, put(s, "\x0F\x0B", 2); s->program.poke = XSTATE_BV; s->program.value = 1ULL << 40)
FLAW(resume_header, put(s, "\x0F\x0B", 2); s->program.poke = XSTATE_BV + 16; s->program.value = 1)
FLAW(resume_address, put(s, "\x0F\x0B", 2); s->program.poke = GPR(rip); s->program.value = 1ULL << 60)
FLAW(spin, put(s, "\xEB\xFE", 2); s->enclave.tcs_addresses[1] = AT(TCS))
FLAW(exit_not_canonical, set_leaf(s, ENCLU_EEXIT, 1ULL << 60, 0, 0))
FLAW(enter_inside, set_leaf(s, ENCLU_EENTER, AT(TCS), 0, 0))
FLAW(unknown_leaf, set_leaf(s, 99, 0, 0, 0))
FLAW(accept_unaligned_secinfo, s->adds = true; set_leaf(s, ENCLU_EACCEPT, DATA_AT(SECINFO_AT) + 8, DYNAMIC, 0))
FLAW(accept_secinfo_outside, s->adds = true; set_leaf(s, ENCLU_EACCEPT, 1ULL << 40, DYNAMIC, 0))
FLAW(accept_reserved, s->adds = true; s->secinfo[3] = 1; set_leaf(s, ENCLU_EACCEPT, DATA_AT(SECINFO_AT), DYNAMIC, 0))
FLAW(accept_state, s->adds = true; s->secinfo[0] = SECINFO_REG | SECINFO_R | SECINFO_W; set_leaf(s, ENCLU_EACCEPT, DATA_AT(SECINFO_AT), DYNAMIC, 0))
FLAW(accept_rights, s->adds = true; s->secinfo[0] |= SECINFO_X; set_leaf(s, ENCLU_EACCEPT, DATA_AT(SECINFO_AT), DYNAMIC, 0))
FLAW(accept_restricted, s->adds = true; s->secinfo[0] |= SECINFO_PR; set_leaf(s, ENCLU_EACCEPT, DATA_AT(SECINFO_AT), DYNAMIC, 0))
FLAW(accept_writable_alone, s->adds = true; s->secinfo[0] &= ~(uint64_t)SECINFO_R; set_leaf(s, ENCLU_EACCEPT, DATA_AT(SECINFO_AT), DYNAMIC, 0))
FLAW(accept_what_is_there, set_leaf(s, ENCLU_EACCEPT, DATA_AT(SECINFO_AT), AT(ZEROS), 0))
FLAW(accept_unaligned, s->adds = true; set_leaf(s, ENCLU_EACCEPT, DATA_AT(SECINFO_AT), DYNAMIC + 8, 0))
FLAW(accept_outside, set_leaf(s, ENCLU_EACCEPT, DATA_AT(SECINFO_AT), 1ULL << 40, 0))
FLAW(touch_pending, s->adds = true; set_leaf(s, 0, DYNAMIC, 0, 0); put(s, "\x48\x8B\x03", 3))
FLAW(extend_pending, s->adds = true; s->secinfo[0] = SECINFO_REG | SECINFO_R; set_leaf(s, ENCLU_EMODPE, DATA_AT(SECINFO_AT), DYNAMIC, 0))
FLAW(extend_tcs, s->secinfo[0] = SECINFO_REG | SECINFO_R; set_leaf(s, ENCLU_EMODPE, DATA_AT(SECINFO_AT), AT(TCS), 0))
FLAW(extend_unaligned, s->secinfo[0] = SECINFO_REG | SECINFO_R; set_leaf(s, ENCLU_EMODPE, DATA_AT(SECINFO_AT), AT(DATA) + 8, 0))
FLAW(extend_outside, s->secinfo[0] = SECINFO_REG | SECINFO_R; set_leaf(s, ENCLU_EMODPE, DATA_AT(SECINFO_AT), 1ULL << 40, 0))
FLAW(extend_reserved, s->secinfo[7] = 1; set_leaf(s, ENCLU_EMODPE, DATA_AT(SECINFO_AT), AT(DATA), 0))
FLAW(extend_writable_alone, s->flags[ZEROS] = SECINFO_REG; s->secinfo[0] = SECINFO_REG | SECINFO_W; set_leaf(s, ENCLU_EMODPE, DATA_AT(SECINFO_AT), AT(ZEROS), 0))
FLAW(accept_modified, s->adds = true; s->secinfo[0] |= SECINFO_MODIFIED; set_leaf(s, ENCLU_EACCEPT, DATA_AT(SECINFO_AT), DYNAMIC, 0))
FLAW(accept_trim_pending, s->adds = true; s->secinfo[0] = SECINFO_TRIM | SECINFO_PENDING; set_leaf(s, ENCLU_EACCEPT, DATA_AT(SECINFO_AT), DYNAMIC, 0))
FLAW(copy_writable_alone, s->adds = true; s->secinfo[0] = SECINFO_REG | SECINFO_W; set_leaf(s, ENCLU_EACCEPTCOPY, DATA_AT(SECINFO_AT), DYNAMIC, AT(ZEROS)))
FLAW(copy_unaligned, s->adds = true; s->secinfo[0] = SECINFO_REG | SECINFO_R; set_leaf(s, ENCLU_EACCEPTCOPY, DATA_AT(SECINFO_AT), DYNAMIC, AT(ZEROS) + 8))
FLAW(copy_outside, s->secinfo[0] = SECINFO_REG | SECINFO_R; set_leaf(s, ENCLU_EACCEPTCOPY, DATA_AT(SECINFO_AT), 1ULL << 40, AT(ZEROS)))
FLAW(stack_not_canonical, set_leaf(s, 0, 1ULL << 60, 0, 0); put(s, "\x48\x89\xDC\x50", 4))
FLAW(copy_from_pending, s->adds = true; s->secinfo[0] = SECINFO_REG | SECINFO_R; set_leaf(s, ENCLU_EACCEPTCOPY, DATA_AT(SECINFO_AT), DYNAMIC, DYNAMIC))
FLAW(copy_state, s->adds = true; set_leaf(s, ENCLU_EACCEPTCOPY, DATA_AT(SECINFO_AT), DYNAMIC, AT(ZEROS)))
FLAW(copy_of_tcs, s->adds = true; s->secinfo[0] = SECINFO_TCS; set_leaf(s, ENCLU_EACCEPTCOPY, DATA_AT(SECINFO_AT), DYNAMIC, AT(ZEROS)))
FLAW(copy_over_page, s->secinfo[0] = SECINFO_REG | SECINFO_R; set_leaf(s, ENCLU_EACCEPTCOPY, DATA_AT(SECINFO_AT), AT(LOCAL), AT(ZEROS)))
FLAW(report_unaligned, set_leaf(s, ENCLU_EREPORT, AT(ZEROS) + 64, AT(ZEROS), DATA_AT(2048)))
FLAW(report_read_only, set_leaf(s, ENCLU_EREPORT, AT(ZEROS), AT(ZEROS), AT(CODE)))
/* The word at a byte of the operand. */
static void ask_key(struct sheet *s, uint16_t name, size_t offset, uint16_t value)
{
    s->request[0] = name;
    s->request[offset / 2] = value;
    set_leaf(s, ENCLU_EGETKEY, DATA_AT(REQUEST_AT), DATA_AT(2048), 0);
}

static void ask_report(struct sheet *s, size_t offset)
{
    s->request[offset / 2] = 0x100;
    set_leaf(s, ENCLU_EREPORT, DATA_AT(REQUEST_AT), AT(ZEROS), DATA_AT(2048));
}

FLAW(report_data_unaligned, set_leaf(s, ENCLU_EREPORT, AT(ZEROS), AT(ZEROS) + 64, DATA_AT(2048)))
FLAW(report_outside, set_leaf(s, ENCLU_EREPORT, AT(ZEROS), AT(ZEROS), 1ULL << 40))
FLAW(report_reserved_byte, ask_report(s, 48))
FLAW(report_reserved_middle, ask_report(s, 62))
FLAW(report_reserved_end, ask_report(s, 510))
FLAW(key_name, ask_key(s, 5, 0, 5))
FLAW(key_launch, ask_key(s, EINITTOKEN_KEY, 0, EINITTOKEN_KEY))
FLAW(key_provision, ask_key(s, PROVISION_KEY, 0, PROVISION_KEY))
FLAW(key_provision_seal, ask_key(s, PROVISION_SEAL_KEY, 0, PROVISION_SEAL_KEY))
FLAW(key_cpu_svn, ask_key(s, SEAL_KEY, 22, 1))
FLAW(key_isv_svn, ask_key(s, SEAL_KEY, 4, 9))
FLAW(key_config_svn, ask_key(s, SEAL_KEY, 76, 1))
FLAW(key_policy, ask_key(s, SEAL_KEY, 2, 4))
FLAW(key_reserved, ask_key(s, SEAL_KEY, 6, 1))
FLAW(key_reserved_end, ask_key(s, SEAL_KEY, 510, 1))
FLAW(key_read_only, set_leaf(s, ENCLU_EGETKEY, DATA_AT(REQUEST_AT), AT(ZEROS), 0))
FLAW(key_output_unaligned, set_leaf(s, ENCLU_EGETKEY, DATA_AT(REQUEST_AT), DATA_AT(2056), 0))
FLAW(key_unaligned, set_leaf(s, ENCLU_EGETKEY, DATA_AT(REQUEST_AT) + 16, DATA_AT(2048), 0))
FLAW(store_read_only, set_leaf(s, 0, AT(CODE), 0, 0); put(s, "\x48\x89\x03", 3))
FLAW(run_data, set_leaf(s, 0, AT(ZEROS), 0, 0); put(s, "\xFF\xE3", 2))
FLAW(restrict_pending, s->adds = s->restricts = true)
FLAW(cpuid, put(s, "\x0F\xA2", 2))
FLAW(syscall_, put(s, "\x0F\x05", 2))
FLAW(int_80, put(s, "\xCD\x80", 2))
FLAW(iret, put(s, "\x48\xCF", 2))
FLAW(far_return, put(s, "\x48\xCB", 2))
FLAW(load_segment, put(s, "\x8E\xD8", 2))
FLAW(in, put(s, "\xEC", 1))
FLAW(rdpmc, put(s, "\x0F\x33", 2))
FLAW(sgdt, put(s, "\x0F\x01\x04\x24", 4))
FLAW(getsec, put(s, "\x0F\x37", 2))
FLAW(far_jump, put(s, "\x48\xFF\x2C\x24", 4))

static const struct row {
    const char *name;
    void (*make)(struct sheet *sheet);
    enum { WHOLE, UNALIGNED_PAGE, OUTSIDE_PAGE, TWICE, AFTER_EINIT, EINIT_TWICE, NO_EINIT, BUSY } how;
} ROWS[] = {
#define ROW(name) {#name, name, WHOLE}
    ROW(none), ROW(size_no_power), ROW(size_of_a_page), ROW(no_ssa), ROW(unknown_misc), ROW(unknown_attribute), ROW(initialised_attribute), ROW(no_mode64),
    ROW(no_sse), ROW(unknown_xfrm), ROW(writable_alone), ROW(reserved_secinfo), ROW(pending_at_eadd), ROW(page_type), ROW(tcs_rights), ROW(tcs_flags),
    ROW(tcs_reserved), ROW(tcs_ossa), ROW(tcs_ogsbase), ROW(tcs_ossa_outside), ROW(tcs_oentry), ROW(tcs_ofsbase), ROW(tcs_state), ROW(measurement), ROW(signature), ROW(quotient), ROW(sigstruct_header), ROW(sigstruct_vendor),
    ROW(isv_family), ROW(demanded_attribute), ROW(demanded_misc), ROW(demanded_features), ROW(attribute_mask), ROW(provision_key), ROW(launch_key), ROW(no_tcs), ROW(one_frame), ROW(no_frame), ROW(frame_left_out), ROW(frame_read_only),
    ROW(resume_features), ROW(resume_header), ROW(resume_address), ROW(exit_not_canonical), ROW(enter_inside), ROW(unknown_leaf), ROW(accept_unaligned_secinfo), ROW(accept_secinfo_outside), ROW(accept_reserved),
    ROW(accept_state), ROW(accept_rights), ROW(accept_restricted), ROW(accept_writable_alone), ROW(accept_what_is_there), ROW(accept_unaligned), ROW(accept_outside), ROW(touch_pending), ROW(extend_pending),
    ROW(extend_tcs), ROW(copy_from_pending), ROW(copy_state), ROW(copy_of_tcs), ROW(copy_over_page), ROW(report_unaligned), ROW(report_read_only), ROW(key_name),
    ROW(key_provision), ROW(key_unaligned), ROW(key_launch), ROW(key_provision_seal), ROW(key_cpu_svn), ROW(key_isv_svn), ROW(key_config_svn), ROW(key_policy),
    ROW(key_reserved), ROW(key_reserved_end), ROW(key_read_only), ROW(key_output_unaligned), ROW(report_data_unaligned), ROW(report_outside),
    ROW(report_reserved_byte), ROW(report_reserved_middle), ROW(report_reserved_end), ROW(extend_unaligned), ROW(extend_outside), ROW(extend_reserved),
    ROW(extend_writable_alone), ROW(accept_modified), ROW(accept_trim_pending), ROW(copy_writable_alone), ROW(copy_unaligned), ROW(copy_outside),
    ROW(stack_not_canonical), ROW(store_read_only), ROW(run_data), ROW(restrict_pending), ROW(cpuid), ROW(syscall_), ROW(int_80), ROW(iret),
    ROW(far_return), ROW(load_segment), ROW(in), ROW(rdpmc), ROW(sgdt), ROW(getsec), ROW(far_jump),
    {"page_unaligned", none, UNALIGNED_PAGE}, {"page_outside", none, OUTSIDE_PAGE}, {"page_twice", none, TWICE}, {"page_after_einit", none, AFTER_EINIT},
    {"einit_twice", none, EINIT_TWICE}, {"no_einit", none, NO_EINIT}, {"busy", spin, BUSY},
};
#define ROW_COUNT (sizeof(ROWS) / sizeof(ROWS[0]))

static void start_sheet(struct sheet *sheet, const struct row *row)
{
    static const uint64_t flags[PAGE_COUNT] = {
        [CODE] = SECINFO_REG | SECINFO_R | SECINFO_X, [DATA] = SECINFO_REG | SECINFO_R | SECINFO_W, [ZEROS] = SECINFO_REG | SECINFO_R,
        [SSA] = SECINFO_REG | SECINFO_R | SECINFO_W, [SSA + 1] = SECINFO_REG | SECINFO_R | SECINFO_W, [TCS] = SECINFO_TCS,
        [LOCAL] = SECINFO_REG | SECINFO_R | SECINFO_W,
    };
    memset(sheet, 0, sizeof(*sheet));
    memcpy(sheet->flags, flags, sizeof(flags));
    memcpy(sheet->bytes[CODE], code_page, 256);
    *tcs_of(sheet) = (struct tcs){.ossa = AT(SSA), .nssa = 2, .oentry = AT(CODE), .ofsbase = AT(LOCAL), .ogsbase = AT(LOCAL), .fslimit = 0xFFF, .gslimit = 0xFFF};
    sheet->enclave = (struct enclave){
        .attributes = {ATTRIBUTE_MODE64, XFRM_LEGACY}, .misc_select = MISC_EXINFO, .elrange_size = ELRANGE_SIZE, .ssa_frame_size = PAGE_SIZE,
        .image_start = BASE, .image_end = AT(PAGE_COUNT), .tcs_count = 1, .tcs_addresses = {AT(TCS)},
    };
    sheet->secinfo[0] = SECINFO_REG | SECINFO_R | SECINFO_W | SECINFO_PENDING;
    row->make(sheet);
    memcpy(sheet->bytes[DATA], &sheet->program, sizeof(sheet->program));
    memcpy(sheet->bytes[DATA] + SECINFO_AT, sheet->secinfo, sizeof(sheet->secinfo));
    memcpy(sheet->bytes[DATA] + REQUEST_AT, sheet->request, sizeof(sheet->request));
}

static void measure(const struct row *row)
{
    static struct sheet sheet;
    struct sha256 hash;
    uint8_t digest[32];
    start_sheet(&sheet, row);
    sim_eadd_tcs(tcs_of(&sheet));
    sim_measure_ecreate(&hash, &sheet.enclave);
    for (unsigned page = 0; page < PAGE_COUNT; page++) {
        if (!sheet.is_left_out[page]) {
            sim_measure_eadd(&hash, AT(page), sheet.bytes[page], sheet.flags[page], true);
        }
    }
    sha256_finish(&hash, digest);
    printf("%s ", row->name);
    for (unsigned index = 0; index < sizeof(digest); index++) {
        printf("%02x", digest[index]);
    }
    putchar('\n');
}

_Noreturn static void answer(const char *what)
{
    printf("%s\n", what);
    exit(0);
}

static void need(int error, const char *step)
{
    if (error) {
        printf("%s: errno %d: %s\n", step, -error, log_last_failure());
        exit(0);
    }
}

static int add(const struct sheet *sheet, unsigned page, uint64_t address)
{
    return machine->add_page(address, sheet->bytes[page], sheet->flags[page], true);
}

static void build(struct sheet *sheet, const struct row *row)
{
    need(machine->create(&sheet->enclave), "create");
    for (unsigned page = 0; page < PAGE_COUNT; page++) {
        if (!sheet->is_left_out[page]) {
            need(add(sheet, page, AT(page) + (row->how == UNALIGNED_PAGE && page == ZEROS ? 64 : 0)), "add");
        }
    }
    if (row->how == OUTSIDE_PAGE) {
        need(add(sheet, ZEROS, 1ULL << 40), "add");
    }
    if (row->how == TWICE) {
        need(add(sheet, ZEROS, AT(ZEROS)), "add");
    }
    if (row->how != NO_EINIT) {
        need(machine->initialise(&sheet->enclave, &sheet->sigstruct), "initialise");
    }
    if (row->how == EINIT_TWICE) {
        need(machine->initialise(&sheet->enclave, &sheet->sigstruct), "initialise again");
    }
    if (row->how == AFTER_EINIT) {
        need(add(sheet, ZEROS, AT(PAGE_COUNT)), "add");
        need(machine->initialise(&sheet->enclave, &sheet->sigstruct), "add");
    }
}

/* One of two comes to the enclave, and stays. */
static void *enter_too(void *unused)
{
    struct host_thread *thread = host_thread_claim();
    need(machine->thread_begin(thread), "thread");
    machine->enter(thread, 0);
    return unused;
}

static void enter(struct sheet *sheet, const struct row *row, const struct options *options)
{
    char text[100];
    pthread_t other;
    need(host_threads_allocate(sheet->enclave.tcs_addresses, row->how == BUSY ? 2 : 1), "threads");
    need(machine->start(&sheet->enclave, options), "start");
    if (row->how == BUSY) {
        pthread_create(&other, NULL, enter_too, NULL);
    }
    struct host_thread *thread = host_thread_claim();
    need(machine->thread_begin(thread), "thread");
    if (sheet->adds) {
        need(machine->add_memory(DYNAMIC, PAGE_SIZE), "add_memory");
    }
    if (sheet->restricts) {
        need(machine->restrict_memory(DYNAMIC, PAGE_SIZE, SECINFO_R), "restrict_memory");
    }
    uint64_t code = machine->enter(thread, 0);
    if (code >> 24) {
        snprintf(text, sizeof(text), "exception %u, error code %u", (unsigned)(code & 0xFF), (unsigned)(code >> 8 & 0xFFFF));
    } else {
        snprintf(text, sizeof(text), "ENCLU %u", (unsigned)code);
    }
    answer(text);
}

int main(int argc, char **argv)
{
    static struct sheet sheet;
    struct options options = {0};
    const struct row *row = NULL;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 2) {
        for (size_t index = 0; index < ROW_COUNT; index++) {
            measure(&ROWS[index]);
        }
        return 0;
    }
    for (size_t index = 0; index < ROW_COUNT; index++) {
        row = argc == 4 && strcmp(ROWS[index].name, argv[2]) == 0 ? &ROWS[index] : row;
    }
    FILE *file = row ? fopen(argv[3], "rb") : NULL;
    struct sigstruct sigstruct;
    if (!file || fread(&sigstruct, sizeof(sigstruct), 1, file) != 1) {
        return 2;
    }
    machine = strcmp(argv[1], "hw") == 0 ? &sgx_machine : &simulated_machine;
    options.trap_enclu = true;
    options.step_enclave = strcmp(argv[1], "step") == 0;
    need(machine->find(&options), "find");
    start_sheet(&sheet, row);
    struct sheet changed = sheet;
    sheet.sigstruct = sigstruct;
    if (memcmp(&changed.sigstruct, &(struct sigstruct){0}, sizeof(sigstruct)) != 0) {
        row->make(&sheet); /* the flaw is one of the SIGSTRUCT */
    }
    build(&sheet, row);
    enter(&sheet, row, &options);
}
