/*
 * The first entry of each thread: check what the host gave, make the enclave ready (first thread only), get a LibOS stack, go there.
 */
#include "boundary/ocall.h"

/* The highest user address on x86-64, which exchange areas must not pass. */
#define USER_ADDRESS_END 0x800000000000ULL

/* The small stack must have room for CSSA 0 above and exceptions below (entry.S). */
#define ENTRY_STACK_BELOW_TCS 0x10000ULL
#define ENTRY_STACK_SIZE 0x4000ULL

/* The last thread slots are not threads: the host's arguments and environment lie there. */
#define BOOT_AREA_SIZE 0x80000ULL
#define BOOT_AREA_START (LIBOS_STACKS_END - BOOT_AREA_SIZE)
#define STACK_SLOTS (LIBOS_THREADS_MAX - BOOT_AREA_SIZE / LIBOS_STACK_STRIDE)

enum { ENCLAVE_NEW, ENCLAVE_STARTING, ENCLAVE_RUNNING };
static uint32_t enclave_state;
static uint64_t threads_seen;
static uint64_t own_attributes;

struct relocation { /* Elf64_Rela */
    uint64_t offset, info;
    int64_t addend;
};
#define R_X86_64_RELATIVE 8U

/* Hidden, so that their addresses do not come from the GOT, which is not relocated yet. */
extern const struct relocation relocations_start[] HIDDEN, relocations_end[] HIDDEN;
extern const char __ehdr_start[] HIDDEN;

/* libos.so is linked for address 0 and measured so. Nothing before this may use a pointer from `data`. */
static bool relocate(void)
{
    if ((uint64_t)__ehdr_start != ENCLAVE_IMAGE_ADDRESS) {
        return false;
    }
    for (const struct relocation *entry = relocations_start; entry < relocations_end; entry++) {
        if (entry->info != R_X86_64_RELATIVE) {
            return false;
        }
        *(uint64_t *)(ENCLAVE_IMAGE_ADDRESS + entry->offset) = ENCLAVE_IMAGE_ADDRESS + (uint64_t)entry->addend;
    }
    return true;
}

static void read_own_attributes(void)
{
    struct report report;
    enclave_report_to_self(&report);
    own_attributes = report.attributes.flags;
    vector_start(report.attributes.xfrm);
}

bool enclave_is_debug(void)
{
    return (own_attributes & ATTRIBUTE_DEBUG) != 0;
}

static bool exchange_is_outside(const struct exchange *exchange)
{
    uint64_t address = (uint64_t)exchange;
    return address % _Alignof(struct exchange) == 0 && address >= ELRANGE_START + ELRANGE_SIZE &&
           address <= USER_ADDRESS_END - sizeof(*exchange);
}

/* A TCS keeps its stack for ever: the next thread that enters on it uses it again. */
static bool get_libos_stack(struct thread *thread)
{
    if (thread->libos_stack != 0) {
        return true;
    }
    uint64_t index = __atomic_fetch_add(&threads_seen, 1, __ATOMIC_RELAXED);
    if (index >= STACK_SLOTS) {
        return false;
    }
    uint64_t top = LIBOS_STACKS_START + (index + 1) * LIBOS_STACK_STRIDE;
    if (enclave_add(top - LIBOS_STACK_SIZE, LIBOS_STACK_SIZE) != 0) {
        return false;
    }
    thread->index = index;
    thread->libos_stack = top;
    return true;
}

/* Copies what the host wants the process to get. What of it counts is decided by the measured policy. */
static bool copy_boot(const struct exchange *exchange)
{
    struct boot *boot = (struct boot *)BOOT_AREA_START, head;
    memcpy(&head, exchange->data, sizeof(head));
    if (head.strings_size > EXCHANGE_DATA_SIZE - sizeof(head) ||
        enclave_add(BOOT_AREA_START, PAGE_UP(sizeof(head) + head.strings_size + 1)) != 0) {
        return false;
    }
    *boot = head;
    memcpy(boot + 1, exchange->data + sizeof(head), head.strings_size);
    ((char *)(boot + 1))[head.strings_size] = '\0';
    cpu_features = head.cpu_features;
    return true;
}

static void start(uint64_t unused1, uint64_t unused2)
{
    (void)unused1;
    (void)unused2;
    const struct boot *boot = (const struct boot *)BOOT_AREA_START;
    libos_start(boot, (const char *)(boot + 1));
}

static void thread_start(uint64_t unused1, uint64_t unused2)
{
    (void)unused1;
    (void)unused2;
    if (boundary_upcalls.thread_start) { /* else the host sent one before the first thread was ready for it */
        boundary_upcalls.thread_start();
    }
    host_thread_exit();
}

static void command_start(uint64_t unused1, uint64_t unused2)
{
    (void)unused1;
    (void)unused2;
    boundary_upcalls.command_start();
    host_thread_exit();
}

static bool begin(uint64_t ecall)
{
    uint32_t expected = ENCLAVE_NEW;
    if (ecall == ECALL_THREAD || ecall == ECALL_COMMAND || ecall == ECALL_REPORT) {
        return __atomic_load_n(&enclave_state, __ATOMIC_ACQUIRE) == ENCLAVE_RUNNING &&
               (ecall != ECALL_COMMAND || __atomic_load_n(&boundary_upcalls.command_start, __ATOMIC_ACQUIRE));
    }
    return ecall == ECALL_START &&
           __atomic_compare_exchange_n(&enclave_state, &expected, ENCLAVE_STARTING, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) &&
           relocate();
}

/* Says which enclave runs, to whom the host likes; nothing in the name of the program, which has REPORTDATA for itself (docs/rune.md). */
static void report_to_host(struct exchange *exchange)
{
    static const uint8_t no_data[REPORTDATA_SIZE];
    uint8_t target[TARGETINFO_SIZE];
    struct report report;
    memcpy(target, exchange->data, sizeof(target));
    int64_t result = enclave_report(target, no_data, &report);
    if (result == 0) {
        memcpy(exchange->data, &report, REPORT_SIZE);
        result = REPORT_SIZE;
    }
    exchange->result = result;
}

void enclave_first_entry(uint64_t ecall, struct exchange *exchange)
{
    struct thread *thread = current_thread();
    if (!begin(ecall) || !exchange_is_outside(exchange)) {
        return;
    }
    if (ecall == ECALL_REPORT) {
        report_to_host(exchange);
        return;
    }
    if (GLOBAL_DATA->thread.stack_base != (uint64_t)-ENTRY_STACK_BELOW_TCS ||
        GLOBAL_DATA->thread.stack_base - GLOBAL_DATA->thread.stack_limit < ENTRY_STACK_SIZE) {
        return;
    }
    thread->exchange = exchange;
    thread->host_index = exchange->thread_index;
    thread->task = NULL;
    thread->attention = 0;
    if (ecall == ECALL_START) {
        boundary_start();
        read_own_attributes();
    }
    vector_clear();
    if (!get_libos_stack(thread) || (ecall == ECALL_START && !copy_boot(exchange))) {
        return;
    }
    if (ecall == ECALL_START) {
        __atomic_store_n(&enclave_state, ENCLAVE_RUNNING, __ATOMIC_RELEASE);
    }
    switch_stack(thread->libos_stack, ecall == ECALL_START ? start : ecall == ECALL_COMMAND ? command_start : thread_start, 0, 0);
}
