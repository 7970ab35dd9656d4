/* The lies: one or more in each answer, by turns in every field of every row of ocalls.def. */
#define _GNU_SOURCE
#include <string.h>

#include "core.h"
#include "liar.h"
#include "ocall.h"
#include "sim.h"

static const char *const FIELD_NAMES[FIELD_COUNT] = {
    "result", "data", "beyond", "request", "signals", "index", "replay", "flipped result", "flipped data", "flipped request", "entry",
    "time", "flipped time", "switchless", "interrupt",
};

struct host_thread *victim;

static uint64_t stat_words, poll_words; /* of the structures: bit = word that was lied in */

static struct answer {
    bool is_there;
    int64_t result;
    uint8_t data[4096];
} old[OCALL_COUNT];

static bool applies(const struct ocall_description *row, enum field field)
{
    if (field == FIELD_TIME || field == FIELD_FLIP_TIME) {
        return row == &OCALLS[OCALL_CLOCK];
    }
    if (field == FIELD_SWITCHLESS) {
        return is_real; /* the core asks for no workers */
    }
    return (field != FIELD_DATA && field != FIELD_FLIP_DATA) || row->out.rule != OCALL_SIZE_NOTHING;
}

void fill(uint8_t *data, size_t size)
{
    for (size_t at = 0; at + 8 <= size; at += 8) {
        uint64_t value = random_number();
        memcpy(data + at, &value, sizeof(value));
    }
}

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

/* Time that stands still, jumps, goes back, is not there, or has no end. */
static void lie_about_time(struct host_time *time)
{
    uint64_t *words = (uint64_t *)time, now = __builtin_ia32_rdtsc();
    const uint64_t values[] = {0, 1, UINT64_MAX, INT64_MAX, 1ULL << 63, now, now - 1000, now + 1000000, 1ULL << 31, random_number()};
    for (size_t index = 0; index < sizeof(*time) / sizeof(*words); index++) {
        if (random_below(2)) {
            words[index] = values[random_below(sizeof(values) / sizeof(values[0]))];
        }
    }
    if (random_below(2)) {
        time->valid_for = UINT64_MAX; /* so that the rest is looked at */
    }
}

static void flip(volatile uint64_t *address, uint64_t one, uint64_t other)
{
    stepping = (struct stepping){.on = true, .thread = victim, .flip = address, .values = {one, other}};
    counts->flips++;
}

/* More often what lets a call be posted, and says that it is done. */
static void flip_switchless(struct exchange *exchange)
{
    const uint64_t states[] = {SWITCHLESS_DONE, SWITCHLESS_DONE, SWITCHLESS_DONE, SWITCHLESS_CLOSED, SWITCHLESS_TAKEN, SWITCHLESS_POSTED, random_number()};
    flip((volatile uint64_t *)&exchange->switchless, SWITCHLESS_OPEN, states[random_below(sizeof(states) / sizeof(states[0]))]);
}

static void try_entries(void)
{
    static const uint64_t ecalls[] = {ECALL_START, ECALL_THREAD, ECALL_COMMAND, UINT64_MAX, 1ULL << 32 | ECALL_RETURN};
    struct hostile_registers registers = random_registers(victim, ecalls[random_below(sizeof(ecalls) / sizeof(ecalls[0]))]);
    uint64_t code = enter_hostile(victim, &registers);
    if (code != EEXIT_REFUSED) {
        found("ECALL %lu of a thread that is in an OCALL: 0x%lx", registers.rdi, code);
    }
}

/* Of what was read ahead, its number and length more often than its bytes. */
static uint64_t word_to_flip(const struct ocall_description *row, uint64_t size)
{
    bool is_header = row->out.rule == OCALL_SIZE_EVENTS && random_below(2);
    return random_below(is_header ? offsetof(struct host_ahead, bytes) : size) & ~7ULL;
}

/* The lie for this answer; false: it does not apply now. */
static bool lie(struct request *call, uint32_t number, enum field field, int64_t *result)
{
    const struct ocall_description *row = &OCALLS[number];
    struct exchange *exchange = call->thread->exchange;
    uint64_t size = *result < 0 ? 0 : ocall_area_size(&row->out, call->arguments, *result);
    size = size > EXCHANGE_DATA_SIZE ? 0 : size; /* of a result that is a lie */
    bool is_small = size <= 512 || row->out.rule == OCALL_SIZE_EVENTS; /* struct host_message has some 300 bytes; of struct host_ahead, few are read */
    bool can_step = is_small && !stepping.on;
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
        flip((volatile uint64_t *)(call->data + word_to_flip(row, size)), random_number(), target_address(victim));
        break;
    case FIELD_FLIP_REQUEST:
        if (!can_step) {
            return false;
        }
        flip((volatile uint64_t *)&exchange->arguments[random_below(OCALL_ARGUMENTS)], random_number(), target_address(victim));
        break;
    case FIELD_TIME:
        if (number != OCALL_CLOCK) {
            return false;
        }
        lie_about_time(&exchange->time);
        break;
    case FIELD_FLIP_TIME:
        if (number != OCALL_CLOCK || !can_step) {
            return false;
        }
        flip((volatile uint64_t *)&exchange->time + random_below(sizeof(exchange->time) / sizeof(uint64_t)), UINT64_MAX, random_number());
        break;
    case FIELD_SWITCHLESS:
        if (!is_real || stepping.on) {
            return false;
        }
        flip_switchless(exchange);
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
        if (!(tried >> field & 1) && (least == FIELD_COUNT || counts->told[number][field] < counts->told[number][least])) {
            least = field;
        }
    }
    return least;
}

int64_t add_lies(struct request *call, uint32_t number, int64_t result)
{
    uint32_t tried = 0;
    for (uint64_t lies = 1 + random_below(3); lies > 0 && tried != (1U << FIELD_COUNT) - 1;) {
        enum field field = told_least(number, tried);
        tried |= 1U << field;
        if (lie(call, number, field, &result)) {
            counts->told[number][field]++;
            counts->lies++;
            lies--;
        }
    }
    old[number] = (struct answer){.is_there = true, .result = result};
    memcpy(old[number].data, call->data, sizeof(old[number].data));
    return result;
}

bool all_was_lied_in(bool must_be)
{
    for (uint32_t number = 0; number < OCALL_COUNT; number++) {
        for (enum field field = 0; field < FIELD_COUNT; field++) {
            bool is_missing = OCALLS[number].result.rule != OCALL_RESULT_NEVER && applies(&OCALLS[number], field) && counts->told[number][field] == 0;
            if (is_missing && must_be) {
                found("nobody lied in the %s of OCALL %s", FIELD_NAMES[field], OCALLS[number].name);
            }
            if (is_missing) {
                return false;
            }
        }
    }
    bool has_words = stat_words == (1ULL << sizeof(struct host_stat) / 4) - 1 && poll_words == 3;
    if (!has_words && must_be) {
        found("nobody lied in some word of struct host_stat or struct host_poll: 0x%lx, 0x%lx", stat_words, poll_words);
    }
    return has_words;
}
