/* pal/ocall.c with answers that lie: in every field of every row of ocalls.def. */
#define ocall_serve honest_ocall_serve
#include "../../../native/pal/ocall.c"
#undef ocall_serve

#include <cpuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core.h"
#include "liar.h"
#include "sim.h"

#define CHECK_OFFSET(type, field, value) _Static_assert(offsetof(type, field) == (value), "entry.S")
CHECK_OFFSET(struct hostile_registers, rflags, HOSTILE_RFLAGS);
CHECK_OFFSET(struct hostile_registers, rbp, HOSTILE_RBP);
CHECK_OFFSET(struct hostile_registers, fcw, HOSTILE_FCW);
CHECK_OFFSET(struct exit_registers, vector, EXIT_VECTOR);
CHECK_OFFSET(struct exit_registers, in_use, EXIT_IN_USE);

bool is_real;

static uint64_t lies_wanted;
static uint8_t expected_data[EXCHANGE_DATA_SIZE]; /* what the host wrote last */
static bool is_honest; /* no more lies */
static bool has_ended;
static bool spoilt; /* the host itself has changed the arguments of the OCALL that waits */

/* What came out. */

static bool has_secret(const uint8_t *bytes, size_t size)
{
    const uint64_t secret = SECRET;
    return size >= sizeof(secret) && memmem(bytes, size, &secret, sizeof(secret)) != NULL;
}

static void check_request(const struct request *call, uint32_t number)
{
    if (spoilt) {
        return;
    }
    if (number >= OCALL_COUNT || !ocall_fits(&OCALLS[number], call->arguments)) {
        found("OCALL %u with arguments that do not fit", number);
    }
    uint64_t size = ocall_area_size(&OCALLS[number].in, call->arguments, 0);
    if (has_secret(call->data, size) || has_secret((const uint8_t *)call->arguments, sizeof(call->arguments))) {
        found("OCALL %s tells a secret", OCALLS[number].name);
    }
    if (memcmp(call->data + size, expected_data + size, EXCHANGE_DATA_SIZE - size) != 0) {
        found("OCALL %s wrote more than its %lu bytes", OCALLS[number].name, size);
    }
}

#define XINUSE_BEYOND_SSE (~3ULL)

static void check_left(uint32_t number)
{
    enum { RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, R8 };
    static const uint8_t zero[16][16];
    uint64_t is_free = 1ULL << RAX | 1ULL << RBX | 1ULL << RDI | 1ULL << RBP | 1ULL << RSP;
    for (size_t index = 0; index < 16; index++) {
        if (!(is_free >> index & 1) && left.general[index]) {
            found("OCALL %s left 0x%lx in register %zu", OCALLS[number].name, left.general[index], index);
        }
    }
    if (memcmp(left.vector, zero, sizeof(zero)) != 0 || (left.in_use != ~0ULL && (left.in_use & XINUSE_BEYOND_SSE & sim_xfrm))) {
        found("OCALL %s left something in the vector registers", OCALLS[number].name);
    }
}

/* An answer that could be honest. */

static int64_t honest_result(const struct ocall_description *row, const uint64_t arguments[])
{
    int64_t least = ocall_result_min(row), most = ocall_result_max(row, arguments);
    return most <= least ? least : least + (int64_t)random_below((uint64_t)(most - least) < 0xFFFFF ? (uint64_t)(most - least) + 1 : 0xFFFFF);
}

static bool is_infrastructure(const struct request *call, uint32_t number)
{
    return number >= OCALL_MEMORY_ADD && number <= OCALL_MEMORY_REMOVE && call->arguments[0] >= LIBOS_DYNAMIC_START;
}

static int64_t invent(struct request *call, uint32_t number)
{
    const struct ocall_description *row = &OCALLS[number];
    switch (number) {
    case OCALL_MEMORY_ADD:
    case OCALL_MEMORY_PROTECT:
    case OCALL_MEMORY_TRIM:
    case OCALL_MEMORY_REMOVE:
        return random_below(4) ? HANDLERS[number](call) : 0; /* done, or not */
    case OCALL_THREAD_CREATE:
        return -EAGAIN;
    default:
        break;
    }
    if (random_below(8) == 0) {
        return -(int64_t)(1 + random_below(-DONE_LYING - 1));
    }
    int64_t result = honest_result(row, call->arguments);
    uint64_t size = ocall_area_size(&row->out, call->arguments, result);
    if (row->out.rule == OCALL_SIZE_POLLS) {
        for (uint64_t at = 0; at < size; at += sizeof(struct host_poll)) {
            ((struct host_poll *)(call->data + at))->revents = (uint16_t)random_number();
        }
    } else {
        fill(call->data, size);
    }
    return result;
}

uint64_t go_on(struct host_thread *thread)
{
    struct hostile_registers registers = random_registers(thread, ECALL_RETURN);
    registers.rflags |= stepping.on ? 0x100 : 0;
    uint64_t code = enter_hostile(thread, &registers);
    while (code == LEFT_BY_AEX) {
        for (uint64_t entries = random_below(3); entries > 0; entries--) {
            registers = random_registers(thread, random_number());
            code = enter_hostile(thread, &registers);
            if (code != EEXIT_DONE) {
                found("an interrupt at 0x%lx (state %u): 0x%lx", stepping.rip, stepping.state, code);
            }
        }
        code = resume(thread);
    }
    counts->steps += stepping.steps;
    stepping.on = false;
    uint64_t offset = (uint64_t)stepping.flip - (uint64_t)thread->exchange->data;
    if (stepping.flip && offset < EXCHANGE_DATA_SIZE) {
        memcpy(expected_data + offset, thread->exchange->data + offset, sizeof(uint64_t));
    }
    spoilt = stepping.flip >= thread->exchange->arguments && stepping.flip < thread->exchange->arguments + OCALL_ARGUMENTS;
    stepping = (struct stepping){0};
    return code;
}

static bool says(const struct request *call, uint32_t number, const char *text)
{
    return number == OCALL_LOG && call->arguments[1] == strlen(text) && memcmp(call->data, text, strlen(text)) == 0;
}

static void begin(struct host_thread *thread)
{
    uint32_t a, b, c, d;
    extern uint8_t liar_reads_in_use;
    victim = thread;
    lies_wanted = setting("LIAR_LIES", 1000);
    liar_reads_in_use = __get_cpuid_count(0xD, 1, &a, &b, &c, &d) && (a & 4);
}

#define PATIENCE_MS 20000

/* OCALL_EXIT has been made, and nothing is done about it: the two threads that are inside must come out by themselves. */
static void check_end(const struct host_thread *last)
{
    const struct host_thread *thread;
    has_ended = true;
    for (unsigned waited = 0; waited < PATIENCE_MS; waited++) {
        unsigned going_on = 0;
        for (uint64_t index = 0; (thread = host_thread_at(index)) != NULL; index++) {
            going_on += thread != last && __atomic_load_n(&thread->in_use, __ATOMIC_ACQUIRE) &&
                        __atomic_load_n(&thread->tcs->state, __ATOMIC_ACQUIRE);
            if (*(volatile uint64_t *)thread->exchange->data == STILL_HERE) {
                found("thread %u goes on after the end", thread->index);
            }
        }
        if (going_on == 0) {
            return;
        }
        usleep(1000);
    }
    found("a thread is inside after the end");
}

/* Some OCALLs come seldom, so there may be more lies than were asked for. */
static bool has_lied_enough(void)
{
    return counts->lies >= lies_wanted && (counts->lies >= 8 * lies_wanted || all_was_lied_in(false));
}

static enum next_step core_serve(struct host_thread *thread)
{
    struct exchange *exchange = thread->exchange;
    for (;;) {
        struct request call = {.thread = thread, .data = exchange->data};
        uint32_t number = *(volatile uint32_t *)&exchange->ocall;
        memcpy(call.arguments, exchange->arguments, sizeof(call.arguments));
        if (says(&call, number, SAYS_LIE)) {
            begin(thread);
        } else if (says(&call, number, SAYS_ATTACK)) {
            attack_entries(thread);
        } else if (says(&call, number, SAYS_END)) {
            is_honest = true;
        } else if (victim == thread) {
            check_left(number);
            check_request(&call, number);
        }
        if (has_ended) {
            found("an OCALL %u after the end", number);
        }
        if (number == OCALL_EXIT && victim && call.arguments[0] == 0) {
            all_was_lied_in(true);
            check_end(thread);
        }
        if (is_honest || victim != thread || number == OCALL_EXIT || number == OCALL_THREAD_EXIT || is_infrastructure(&call, number)) {
            enum next_step step = honest_ocall_serve(thread);
            if (victim != thread || step != STEP_RETURN) {
                return step;
            }
        } else {
            exchange->result = has_lied_enough() ? DONE_LYING : spoilt ? -1 : add_lies(&call, number, invent(&call, number));
        }
        memcpy(expected_data, exchange->data, sizeof(expected_data));
        uint64_t code = go_on(thread);
        if (code != EEXIT_DONE) {
            found("ECALL_RETURN ended with 0x%lx", code);
        }
    }
}

int64_t honest_answer(struct request *call, uint32_t number)
{
    return serve(call, number);
}

/* Workers are none: calls that do not leave the enclave, nobody could lie about. That they are there is a lie, too. */
enum next_step honest_serve(struct host_thread *thread)
{
    if (*(volatile uint32_t *)&thread->exchange->ocall == OCALL_WORKERS) {
        thread->exchange->result = 0;
        return STEP_RETURN;
    }
    return honest_ocall_serve(thread);
}

enum next_step ocall_serve(struct host_thread *thread)
{
    is_real = setting("LIAR_REAL", 0) != 0;
    return is_real ? real_serve(thread) : core_serve(thread);
}
