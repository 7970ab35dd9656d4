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
CHECK_OFFSET(struct exit_registers, vector, EXIT_VECTOR);
CHECK_OFFSET(struct exit_registers, in_use, EXIT_IN_USE);

/* What can be lied in, for each OCALL. */
enum field {
    FIELD_RESULT,
    FIELD_DATA,         /* what the OCALL gives */
    FIELD_BEYOND,       /* data behind that */
    FIELD_REQUEST,      /* the number and the arguments, which nobody should read again */
    FIELD_SIGNALS,
    FIELD_INDEX,
    FIELD_REPLAY,       /* an old answer, whole */
    FIELD_FLIP_RESULT,  /* changed at each instruction while it is read */
    FIELD_FLIP_DATA,
    FIELD_FLIP_REQUEST,
    FIELD_ENTRY,        /* other entries first */
    FIELD_INTERRUPT,    /* an AEX at some instruction of the way back */
    FIELD_COUNT
};
static const char *const FIELD_NAMES[FIELD_COUNT] = {
    "result", "data", "beyond", "request", "signals", "index", "replay", "flipped result", "flipped data", "flipped request", "entry", "interrupt",
};

bool is_real;

static uint64_t told[OCALL_COUNT][FIELD_COUNT];
static uint64_t stat_words, poll_words; /* of the structures: bit = word that was lied in */
static struct host_thread *victim; /* the thread whose OCALLs are answered with lies */
static uint64_t lies_left;

static struct answer {
    bool is_there;
    int64_t result;
    uint8_t data[4096];
} old[OCALL_COUNT];

static uint8_t expected_data[EXCHANGE_DATA_SIZE]; /* what the host wrote last */
static bool spoilt; /* the host itself has changed the arguments of the OCALL that waits */

static bool applies(const struct ocall_description *row, enum field field)
{
    return (field != FIELD_DATA && field != FIELD_FLIP_DATA) || row->out.rule != OCALL_SIZE_NOTHING;
}

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

static void fill(uint8_t *data, size_t size)
{
    for (size_t at = 0; at + 8 <= size; at += 8) {
        uint64_t value = random_number();
        memcpy(data + at, &value, sizeof(value));
    }
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
        return HANDLERS[number](call); /* the EPCM is the CPU's */
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

/* Lies. */

static int64_t lie_of_result(const struct ocall_description *row, const uint64_t arguments[], int64_t honest)
{
    int64_t most = ocall_result_max(row, arguments);
    const int64_t lies[] = {
        most + (most < INT64_MAX), most + (most < INT64_MAX - 1) * 2, most * (most < INT32_MAX ? 2 : 1) + 1, most + 4096 * (most < INT32_MAX),
        INT64_MIN, INT64_MAX, INT32_MIN, INT32_MAX, (int64_t)INT32_MAX + 1, UINT32_MAX, -1, -4, -11, -133, -134, -4095, -4096, 0, 1, 2, 3,
        EXCHANGE_DATA_SIZE, EXCHANGE_DATA_SIZE + 1, (int64_t)ENCLAVE_IMAGE_ADDRESS, (int64_t)LIBOS_DYNAMIC_START, 1LL << 32,
        (honest < 0 ? 0 : honest) | 1LL << 32, (honest < 0 ? 0 : honest) | INT64_MIN, (int64_t)random_number(),
    };
    return lies[random_below(sizeof(lies) / sizeof(lies[0]))];
}

/* Which words of the structures were lied in. */
static void note_word(const struct ocall_description *row, uint64_t word)
{
    stat_words |= row->out.rule == OCALL_SIZE_STAT ? 1ULL << word : 0;
    poll_words |= row->out.rule == OCALL_SIZE_POLLS ? 1ULL << word % 2 : 0;
}

static void lie_in_data(const struct ocall_description *row, uint8_t *data, uint64_t size)
{
    const uint64_t values[] = {0, ~0ULL, INT64_MAX, 1ULL << 63, ENCLAVE_IMAGE_ADDRESS, target_address(victim), random_number(), 0x2F2F2F2F2F2F2F2F};
    bool all = random_below(2);
    for (uint64_t word = 0; word < size / 4; word++) {
        if (all || random_below(2)) {
            memcpy(data + 4 * word, &values[random_below(sizeof(values) / sizeof(values[0]))], 4);
            note_word(row, word);
        }
    }
}

static void flip(volatile uint64_t *address, uint64_t one, uint64_t other)
{
    stepping = (struct stepping){.on = true, .thread = victim, .flip = address, .values = {one, other}};
    counts->flips++;
}

static void try_entries(void)
{
    static const uint64_t ecalls[] = {ECALL_START, ECALL_THREAD, 3, UINT64_MAX, 1ULL << 32 | ECALL_RETURN};
    struct hostile_registers registers = random_registers(victim, ecalls[random_below(sizeof(ecalls) / sizeof(ecalls[0]))]);
    uint64_t code = enter_hostile(victim, &registers);
    if (code != EEXIT_REFUSED) {
        found("ECALL %lu of a thread that is in an OCALL: 0x%lx", registers.rdi, code);
    }
}

/* The lie for this answer; false: it does not apply now. */
static bool lie(struct request *call, uint32_t number, enum field field, int64_t *result)
{
    const struct ocall_description *row = &OCALLS[number];
    struct exchange *exchange = call->thread->exchange;
    uint64_t size = *result < 0 ? 0 : ocall_area_size(&row->out, call->arguments, *result);
    size = size > EXCHANGE_DATA_SIZE ? 0 : size; /* of a result that is a lie */
    bool can_step = size <= 128 && !stepping.on;
    switch (field) {
    case FIELD_RESULT:
        *result = lie_of_result(row, call->arguments, *result);
        break;
    case FIELD_DATA:
        if (size == 0) {
            return false;
        }
        lie_in_data(row, call->data, size);
        break;
    case FIELD_BEYOND:
        fill(call->data + size, size < EXCHANGE_DATA_SIZE ? (EXCHANGE_DATA_SIZE - size) & 4095 : 0);
        break;
    case FIELD_REQUEST:
        exchange->ocall = (uint32_t)random_number();
        for (size_t index = 0; index < OCALL_ARGUMENTS; index++) {
            exchange->arguments[index] = random_below(2) ? target_address(victim) : call->arguments[index] + random_below(4096);
        }
        break;
    case FIELD_SIGNALS:
        exchange->signals = random_number();
        break;
    case FIELD_INDEX:
        exchange->thread_index = (uint32_t)random_number();
        break;
    case FIELD_REPLAY:
        if (!old[number].is_there) {
            return false;
        }
        memcpy(call->data, old[number].data, sizeof(old[number].data));
        *result = old[number].result;
        break;
    case FIELD_FLIP_RESULT:
        if (!can_step) {
            return false;
        }
        flip((volatile uint64_t *)&exchange->result, (uint64_t)*result, (uint64_t)lie_of_result(row, call->arguments, *result));
        break;
    case FIELD_FLIP_DATA:
        if (!can_step || size == 0) {
            return false;
        }
        flip((volatile uint64_t *)(call->data + (random_below(size) & ~7ULL)), random_number(), target_address(victim));
        break;
    case FIELD_FLIP_REQUEST:
        if (!can_step) {
            return false;
        }
        flip((volatile uint64_t *)&exchange->arguments[random_below(OCALL_ARGUMENTS)], random_number(), target_address(victim));
        break;
    case FIELD_ENTRY:
        try_entries();
        break;
    case FIELD_INTERRUPT:
        if (stepping.on) {
            return false;
        }
        stepping = (struct stepping){.on = true, .thread = victim, .target = 1 + random_below(random_below(2) ? 80 : 400), .kind = INTERRUPTED};
        break;
    default:
        return false;
    }
    return true;
}

static enum field told_least(uint32_t number, uint32_t tried)
{
    enum field least = FIELD_COUNT;
    for (enum field field = 0; field < FIELD_COUNT; field++) {
        if (!(tried >> field & 1) && (least == FIELD_COUNT || told[number][field] < told[number][least])) {
            least = field;
        }
    }
    return least;
}

static int64_t answer_with_lie(struct request *call, uint32_t number)
{
    int64_t result = invent(call, number);
    uint32_t tried = 0;
    for (uint64_t lies = 1 + random_below(3); lies > 0 && tried != (1U << FIELD_COUNT) - 1;) {
        enum field field = told_least(number, tried);
        tried |= 1U << field;
        if (lie(call, number, field, &result)) {
            told[number][field]++;
            counts->lies++;
            lies--;
        }
    }
    old[number] = (struct answer){.is_there = true, .result = result};
    memcpy(old[number].data, call->data, sizeof(old[number].data));
    return result;
}

/* Back into the enclave, up to its next OCALL. */
static enum next_step go_on(struct host_thread *thread)
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
    if (code == EEXIT_ENDED) {
        return STEP_PROCESS_EXIT;
    }
    if (code != EEXIT_DONE) {
        found("ECALL_RETURN ended with 0x%lx", code);
    }
    return STEP_RETURN;
}

/* The end: was there a lie for each field? */
static void check_coverage(void)
{
    for (uint32_t number = 0; number < OCALL_COUNT; number++) {
        for (enum field field = 0; field < FIELD_COUNT; field++) {
            if (HANDLERS[number] && applies(&OCALLS[number], field) && told[number][field] == 0) {
                found("nobody lied in the %s of OCALL %s", FIELD_NAMES[field], OCALLS[number].name);
            }
        }
    }
    if (stat_words != (1ULL << sizeof(struct host_stat) / 4) - 1 || poll_words != 3) {
        found("nobody lied in some word of struct host_stat or struct host_poll: 0x%lx, 0x%lx", stat_words, poll_words);
    }
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
    lies_left = setting("LIAR_LIES", 1000);
    liar_reads_in_use = __get_cpuid_count(0xD, 1, &a, &b, &c, &d) && (a & 4);
}

enum next_step ocall_serve(struct host_thread *thread)
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
        } else if (victim == thread) {
            check_left(number);
            check_request(&call, number);
        }
        if (number == OCALL_EXIT && victim && call.arguments[0] == 0) {
            check_coverage();
        }
        if (victim != thread || number == OCALL_EXIT || number == OCALL_THREAD_EXIT || is_infrastructure(&call, number)) {
            enum next_step step = honest_ocall_serve(thread);
            if (victim != thread || step != STEP_RETURN) {
                return step;
            }
        } else {
            exchange->result = counts->lies >= lies_left ? DONE_LYING : spoilt ? -1 : answer_with_lie(&call, number);
        }
        memcpy(expected_data, exchange->data, sizeof(expected_data));
        if (go_on(thread) != STEP_RETURN) {
            return STEP_PROCESS_EXIT;
        }
    }
}
