/*
 * Entries that the enclave did not ask for, and interruptions at every instruction of those that it did. Each is tried in a child process, since
 * most of them are the enclave's end; what the enclave's memory looks like afterwards is compared byte by byte.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../native/libos/base/layout.h"
#include "../../../native/libos/cpu/thread.h"
#include "liar.h"
#include "sim.h"

#define RFLAGS_RESERVED 2U
#define RFLAGS_TRAP 0x100U
#define RFLAGS_HOSTILE 0x240CD5U /* CF PF AF ZF SF DF OF AC ID */

#define MXCSR_INITIAL 0x1F80U
#define MXCSR_ROUNDING 0xE040U /* RC, FZ, DAZ */
#define FCW_INITIAL 0x37FU
#define FCW_ROUNDING 0xF00U /* RC, PC */

#define ENTRY_STACK_BELOW_TCS 0x10000ULL
#define EXCEPTION_STACK_BELOW_TCS 0x12000ULL
#define ENTRY_STACK_SIZE 0x4000ULL
#define ENTRY_STEPS 64U /* entry.S, before any C */
#define EXCEPTION_ENTRY_STEPS 20U
#define STACK_RESERVE 0x1000ULL /* exception.c */
#define EXCEPTION_FRAME_MAX 384ULL

#define VALID(type, vector) (0x80000000U | (type) << 8 | (vector))
static const uint32_t KINDS[] = {
    INTERRUPTED, VALID(3U, 0U), VALID(3U, 1U), VALID(6U, 3U), VALID(3U, 5U), VALID(3U, 6U), VALID(3U, 13U), VALID(3U, 14U), VALID(3U, 16U),
    VALID(3U, 17U), VALID(3U, 19U), VALID(3U, 21U),
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct attempt {
    struct host_thread *thread;
    uint64_t ecall;
    uint64_t target; /* 0: not interrupted */
    uint32_t kind;
    unsigned entries_at_aex;
    bool resumes;
    bool is_exchange_hostile; /* at a first entry */
};

static const struct thread *data_of(const struct host_thread *thread)
{
    return (const struct thread *)thread->tcs->ogsbase;
}

uint64_t target_address(const struct host_thread *thread)
{
    static uint8_t outside[4096];
    const struct thread *data = data_of(thread);
    uint64_t tcs = (uint64_t)thread->tcs, image = sim_enclave->image_end - sim_enclave->image_start;
    switch (random_below(12)) {
    case 0: /* a frame that waits */
        return data->ocall_rsp + 64 * random_below(64);
    case 1:
        return data->ocall_rsp + 8 * random_below(512);
    case 2:
        return data->libos_stack - 64 * random_below(32);
    case 3: /* another thread's */
        return LIBOS_STACKS_START + LIBOS_STACK_STRIDE * (1 + random_below(4)) - 8 * random_below(1024);
    case 4:
        return tcs - ENTRY_STACK_BELOW_TCS - 8 * random_below(32);
    case 5:
        return tcs - EXCEPTION_STACK_BELOW_TCS - 8 * random_below(32);
    case 6:
        return (uint64_t)data + 8 * random_below(512);
    case 7:
        return sim_enclave->image_start + random_below(image);
    case 8:
        return tcs + 8 * random_below(1024);
    case 9:
        return APPLICATION_START + random_below(1ULL << 32);
    case 10:
        return (uint64_t)outside + random_below(sizeof(outside));
    default:
        return (uint64_t[]){0, 8, ~7ULL, 1ULL << 63, 0x7FFFFFFFFFF8, ELRANGE_SIZE}[random_below(6)];
    }
}

struct hostile_registers random_registers(struct host_thread *thread, uint64_t ecall)
{
    struct hostile_registers registers;
    uint64_t *values = (uint64_t *)&registers;
    for (size_t index = 0; index < offsetof(struct hostile_registers, rflags) / sizeof(*values); index++) {
        values[index] = random_below(4) ? target_address(thread) : random_number();
    }
    registers.rdi = ecall;
    registers.rflags = RFLAGS_RESERVED | (random_number() & RFLAGS_HOSTILE);
    registers.rsp = target_address(thread);
    registers.mxcsr = MXCSR_INITIAL ^ (uint32_t)(random_below(2) ? random_number() & MXCSR_ROUNDING : 0);
    registers.fcw = FCW_INITIAL ^ (uint16_t)(random_below(2) ? random_number() & FCW_ROUNDING : 0);
    registers.unused = 0;
    return registers;
}

uint64_t enter_hostile(struct host_thread *thread, const struct hostile_registers *registers)
{
    if (sim_prepare_entry(thread)) {
        return EENTER_FAULTS;
    }
    uint64_t code = enter_with(thread, registers);
    __atomic_fetch_add(&counts->entries, 1, __ATOMIC_RELAXED);
    if (code != EEXIT_DONE && code != LEFT_BY_AEX) {
        __atomic_fetch_add(&counts->refused, 1, __ATOMIC_RELAXED);
    }
    return code;
}

static void describe(const struct attempt *attempt, const char *what, uint64_t one, uint64_t other)
{
    found("%s (0x%lx, 0x%lx): ECALL %lu on thread %u, EXITINFO 0x%x before instruction %lu at 0x%lx (state %u, RSP 0x%lx), "
          "%u entries at CSSA 1, %s", what, one,
          other, attempt->ecall, attempt->thread->index, attempt->kind, attempt->target, stepping.rip, stepping.state, stepping.rsp,
          attempt->entries_at_aex, attempt->resumes ? "ERESUME" : "no ERESUME");
}

/* Which of two entries at CSSA 0 is legal, and which is not. */
static uint64_t expected_code(const struct attempt *attempt)
{
    uint32_t state = data_of(attempt->thread)->state;
    bool begins = attempt->ecall == ECALL_THREAD || (attempt->ecall == ECALL_COMMAND && is_real); /* the core takes no commands */
    bool legal = state == THREAD_OUTSIDE ? attempt->ecall == ECALL_RETURN : begins && !attempt->is_exchange_hostile;
    return legal ? EEXIT_DONE : EEXIT_REFUSED;
}

/* What an entry may write that comes to nothing: a thread that is not used yet has its own small stack and its own page to look at what it was
 * given. */
static size_t allow_entry(const struct attempt *attempt, uint32_t state, struct range allowed[])
{
    uint64_t tcs = (uint64_t)attempt->thread->tcs, ssa = attempt->thread->tcs->ossa, data = (uint64_t)data_of(attempt->thread);
    allowed[0] = (struct range){ssa, ssa + sim_enclave->ssa_frame_size}; /* the CPU's: EENTER writes URSP there */
    if (state != THREAD_UNUSED || attempt->ecall == ECALL_RETURN) {
        return 1;
    }
    allowed[1] = (struct range){data, data + PAGE_SIZE};
    allowed[2] = (struct range){tcs - ENTRY_STACK_BELOW_TCS - ENTRY_STACK_SIZE, tcs - ENTRY_STACK_BELOW_TCS};
    return 3;
}

/* A fault that the kernel may have served is tried again, as after an interrupt; how often is counted. */
static bool is_tried_again(const struct attempt *attempt)
{
    bool is_own = stepping.address >= LIBOS_DYNAMIC_START && stepping.address < ELRANGE_SIZE;
    return (attempt->kind & 0xFF) == 14 && stepping.rip >= ENCLAVE_IMAGE_ADDRESS && (is_own || stepping.rip == sim_enclave->stub_address);
}

static size_t allow_exception(const struct attempt *attempt, struct range allowed[])
{
    const struct tcs *tcs = attempt->thread->tcs;
    const struct thread *data = data_of(attempt->thread);
    uint64_t stack = (uint64_t)tcs - EXCEPTION_STACK_BELOW_TCS;
    allowed[0] = (struct range){tcs->ossa, tcs->ossa + sim_enclave->ssa_frame_size * tcs->nssa};
    allowed[1] = (struct range){stack - (ENTRY_STACK_SIZE - (EXCEPTION_STACK_BELOW_TCS - ENTRY_STACK_BELOW_TCS)), stack};
    allowed[2] = (struct range){(uint64_t)&data->own_fault, (uint64_t)(&data->own_fault + 1)};
    return 3;
}

/* The LibOS stack that an exception may use: below what is in use; 0: none. */
static uint64_t stack_for_exception(const struct attempt *attempt)
{
    uint64_t top = data_of(attempt->thread)->libos_stack;
    if (stepping.state != THREAD_INSIDE || top == 0) {
        return 0;
    }
    if (stepping.rip < ENCLAVE_IMAGE_ADDRESS) {
        return top;
    }
    return stepping.rsp <= top && stepping.rsp >= top - LIBOS_STACK_SIZE + STACK_RESERVE ? stepping.rsp : 0;
}

static void must_be_unchanged(const struct attempt *attempt, struct range *allowed, size_t count, bool has_ended, const char *what)
{
    uint64_t changed = memory_changed(allowed, count);
    if (changed && has_ended && *(const uint32_t *)(changed & ~3ULL) == EEXIT_BROKEN) { /* enclave_end */
        allowed[count] = (struct range){changed & ~3ULL, (changed & ~3ULL) + 4};
        changed = memory_changed(allowed, count + 1);
    }
    if (changed) {
        describe(attempt, what, changed, *(const uint64_t *)(changed & ~7ULL));
    }
}

static void must_give_nothing_away(const struct attempt *attempt)
{
    enum { RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, R8 };
    for (size_t index = 0; index < 16; index++) {
        bool is_free = index == RAX || index == RBX || index == RDI || index == RBP || index == RSP;
        if (!is_free && left.general[index]) {
            describe(attempt, "a register was not cleared", index, left.general[index]);
        }
    }
}

static void must_stay_ended(const struct attempt *attempt)
{
    for (uint64_t ecall = ECALL_START; ecall <= ECALL_COMMAND; ecall++) {
        struct hostile_registers registers = random_registers(attempt->thread, ecall);
        uint64_t code = enter_hostile(attempt->thread, &registers);
        if (code != EEXIT_BROKEN) {
            describe(attempt, "an enclave that has ended was entered", ecall, code);
        }
    }
}

/* An exception entry, to see its flags. */
static uint64_t enter_in_steps(const struct attempt *attempt, struct hostile_registers *registers)
{
    const struct stepping before = stepping;
    stepping = (struct stepping){.on = true, .thread = attempt->thread, .free_steps = EXCEPTION_ENTRY_STEPS};
    registers->rflags |= RFLAGS_TRAP;
    uint64_t code = enter_hostile(attempt->thread, registers);
    bool is_hosts_flags = stepping.is_hosts_flags;
    stepping = before;
    if (is_hosts_flags) {
        describe(attempt, "C of an exception entry runs with the host's flags", registers->rflags, 0);
    }
    return code;
}

static void try_at_aex(const struct attempt *attempt, uint64_t expected)
{
    struct range allowed[8];
    struct host_thread *thread = attempt->thread;
    bool is_interrupt = attempt->kind == INTERRUPTED || is_tried_again(attempt);
    uint64_t stack = is_interrupt ? 0 : stack_for_exception(attempt);
    bool has_ended = !is_interrupt && stack == 0;
    size_t count = allow_exception(attempt, allowed);
    if (stack) {
        allowed[count++] = (struct range){stack - EXCEPTION_FRAME_MAX, stack};
    }
    memory_remember();
    for (unsigned index = 0; index < attempt->entries_at_aex; index++) {
        struct hostile_registers registers = random_registers(thread, random_below(4));
        uint64_t code = enter_in_steps(attempt, &registers), wanted = has_ended ? EEXIT_BROKEN : EEXIT_DONE;
        if (code != wanted) {
            describe(attempt, "an exception entry", code, wanted);
        }
        must_give_nothing_away(attempt);
        must_be_unchanged(attempt, allowed, count, has_ended, "an exception entry changed memory");
    }
    if (has_ended && attempt->entries_at_aex > 0) {
        must_stay_ended(attempt);
    }
    if (!attempt->resumes || (attempt->kind != INTERRUPTED && attempt->entries_at_aex == 0) || (has_ended && !data_of(thread)->exit_address)) {
        return; /* a fault that is not handled comes again; a thread that was never inside has no address to leave to */
    }
    uint64_t code = resume(thread), wanted = has_ended ? EEXIT_BROKEN : is_interrupt ? expected : EEXIT_DONE;
    if (code != wanted) {
        describe(attempt, "after ERESUME", code, wanted);
    }
    must_give_nothing_away(attempt);
    if (has_ended) {
        must_stay_ended(attempt);
    }
    /* The real LibOS serves page faults of its own: copies from and to the application. */
    bool is_served = is_real && stepping.rip >= ENCLAVE_IMAGE_ADDRESS && (attempt->kind & 0xFF) == 14;
    if (stack && stepping.rip >= ENCLAVE_IMAGE_ADDRESS && !is_served && thread->exchange->ocall != OCALL_EXIT) {
        describe(attempt, "the LibOS survived a fault of its own code", thread->exchange->ocall, OCALL_EXIT);
    }
}

/* Where no exchange area may be: anywhere inside, partly inside, not aligned, not in user space. */
uint64_t hostile_exchange(const struct host_thread *thread)
{
    const uint64_t addresses[] = {
        target_address(thread) % ELRANGE_SIZE, target_address(thread) % ELRANGE_SIZE & ~63ULL, ELRANGE_SIZE - 64,
        (uint64_t)thread->exchange + 8, 0, 1,
        0x800000000000 - sizeof(struct exchange) + 64, 0x800000000000, 1ULL << 63, ~63ULL,
    };
    return addresses[random_below(COUNT(addresses))];
}

static void try_one(const struct attempt *attempt)
{
    struct range allowed[8];
    uint32_t state = data_of(attempt->thread)->state;
    uint64_t expected = expected_code(attempt);
    struct hostile_registers registers = random_registers(attempt->thread, attempt->ecall);
    stepping = (struct stepping){
        .on = true, .thread = attempt->thread, .target = attempt->target, .kind = attempt->kind, .free_steps = ENTRY_STEPS,
        .address = target_address(attempt->thread),
    };
    registers.rflags |= RFLAGS_TRAP;
    registers.rsi = attempt->is_exchange_hostile ? hostile_exchange(attempt->thread) : (uint64_t)attempt->thread->exchange;
    if (random_below(2)) {
        registers.rsp = (registers.rsp & ~7ULL) | 4; /* never one of the enclave's own */
    }
    stepping.host_rsp = registers.rsp % 8 ? registers.rsp : 1;
    uint64_t code = enter_hostile(attempt->thread, &registers);
    size_t count = allow_entry(attempt, state, allowed);
    if (stepping.is_hosts_rsp) {
        describe(attempt, "thread.state says that the thread is inside, and RSP is the host's", registers.rsp, 0);
    }
    if (stepping.is_hosts_flags) {
        describe(attempt, "C runs with the host's flags", registers.rflags, 0);
    }
    if (code == LEFT_BY_AEX) {
        if (stepping.entered_twice) {
            describe(attempt, "the simulated CPU entered a thread twice", 0, 0);
        }
        if (expected != EEXIT_DONE) {
            must_be_unchanged(attempt, allowed, count, false, "an entry that is to be refused changed memory");
        }
        try_at_aex(attempt, expected);
        return;
    }
    if (code != expected) {
        describe(attempt, "an entry", code, expected);
    }
    must_give_nothing_away(attempt);
    if (expected != EEXIT_DONE) {
        must_be_unchanged(attempt, allowed, count, false, "a refused entry changed memory");
    }
}

/* In a child: the steps of the entry, 0 when it was interrupted before. */
static uint64_t try_in_child(const struct attempt *attempt)
{
    uint64_t before = __atomic_load_n(&counts->steps, __ATOMIC_RELAXED);
    int status;
    pid_t child = fork();
    if (child == 0) {
        try_one(attempt);
        counts->steps += stepping.steps;
        _exit(0);
    }
    if (child < 0 || !wait_for(child, &status)) {
        found("a child could not be made");
    }
    counts->children++;
    if (status != 0) {
        found("thread %u, ECALL %lu, EXITINFO 0x%x before instruction %lu: the child ended with 0x%x", attempt->thread->index, attempt->ecall,
              attempt->kind, attempt->target, (unsigned)status);
    }
    return counts->steps - before;
}

/* The first and the last instructions come all: those of entry.S. What lies between is drawn. */
#define FIRST_STEPS 64U
#define LAST_STEPS 32U

static struct attempt draw(struct host_thread *thread, uint64_t ecall, uint64_t target)
{
    return (struct attempt){
        .thread = thread, .ecall = ecall, .target = target, .kind = KINDS[random_below(COUNT(KINDS))],
        .entries_at_aex = (unsigned)random_below(4), .resumes = random_below(4) != 0, .is_exchange_hostile = random_below(2),
    };
}

void attack_entries(struct host_thread *thread)
{
    static const uint64_t ecalls[] = {ECALL_RETURN, ECALL_START, ECALL_THREAD, ECALL_COMMAND, ECALL_COMMAND + 1, UINT64_MAX};
    struct host_thread *threads[2] = {thread, host_thread_claim()};
    struct attempt honest[COUNT(threads) * COUNT(ecalls)];
    uint64_t steps[COUNT(honest)], count = setting("LIAR_ENTRIES", 1000), done = 0;
    if (!threads[1]) {
        found("no thread is left to attack");
    }
    memory_remember();
    threads[1]->tcs->hidden_thread = (uint64_t)threads[1];
    for (size_t index = 0; index < COUNT(honest); index++) {
        honest[index] = (struct attempt){.thread = threads[index % COUNT(threads)], .ecall = ecalls[index / COUNT(threads)]};
        steps[index] = try_in_child(&honest[index]);
    }
    while (done < count) {
        for (size_t index = 0; index < COUNT(honest); index++) {
            for (uint64_t target = 1; target <= steps[index] && done < count; target++, done++) {
                struct attempt attempt = draw(honest[index].thread, honest[index].ecall, target);
                try_in_child(&attempt);
                if (target == FIRST_STEPS && steps[index] > FIRST_STEPS + LAST_STEPS) {
                    attempt = draw(attempt.thread, attempt.ecall, target + random_below(steps[index] - target - LAST_STEPS));
                    try_in_child(&attempt);
                    target = steps[index] - LAST_STEPS;
                }
            }
        }
    }
    host_thread_free(threads[1]);
    counts->lies += done;
}
