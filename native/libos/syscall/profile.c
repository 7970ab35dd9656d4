/*
 * System calls and OCALLs, counted and timed. A transition is one way out of the enclave and back: an OCALL (EEXIT and EENTER), or an exception (AEX and
 * ERESUME, with an entry in between). On hardware each costs some 10,000 cycles, so their number says more than times measured in simulation.
 */
#include "syscall/observe.h"

#include "process/process.h"

static struct call_count {
    uint64_t calls, errors, ticks, transitions;
} counts[SYSCALL_COUNT];

static struct ocall_count ocalls[OCALL_COUNT];
static struct exit_counts exits;
static struct page_counts pages;
static uint64_t entered; /* since the program's start */
static uint64_t switchless, withdrawn;
static bool is_json;
static uint64_t start_ns, start_ticks;

void profile_note(const struct syscall_row *row, const struct observation *observation, int64_t result)
{
    const struct thread *thread = current_thread();
    struct call_count *count = &counts[row - syscall_table];
    __atomic_fetch_add(&count->calls, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&count->errors, result < 0 && result >= -4095, __ATOMIC_RELAXED);
    __atomic_fetch_add(&count->ticks, clock_counter() - observation->start, __ATOMIC_RELAXED);
    __atomic_fetch_add(&count->transitions, thread->ocalls - observation->ocalls + thread->exceptions - observation->exceptions,
                       __ATOMIC_RELAXED);
}

struct text {
    char bytes[16384];
    size_t length;
};

static void add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text->length += format_text_list(text->bytes + text->length, sizeof text->bytes - text->length, format, arguments);
    va_end(arguments);
    text->length = text->length < sizeof text->bytes ? text->length : sizeof text->bytes - 1;
}

/* What the enclave itself sees of transitions; asynchronous exits that the kernel serves and ends (EAUG) it does not see. */
struct machine_count {
    const char *name, *json;
    const uint64_t *number;
};
static const struct machine_count MACHINE_COUNTS[] = {
    {"EENTER", "eenter", &entered}, {"of them to handle an exit (AEX)", "handledExits", &exits.entries}, {"exceptions", "exceptions", &exits.exceptions},
    {"EACCEPT", "eaccept", &pages.accepted}, {"EACCEPTCOPY", "eacceptcopy", &pages.copied}, {"EMODPE", "emodpe", &pages.extended},
    {"pages added", "pagesAdded", &pages.added}, {"pages removed", "pagesRemoved", &pages.removed},
    {"ioctls", "ioctls", &pages.requests}, {"switchless calls", "switchless", &switchless}, {"withdrawn", "withdrawn", &withdrawn},
};
#define MACHINE_COUNT_COUNT (sizeof MACHINE_COUNTS / sizeof MACHINE_COUNTS[0])

/* The lines of a table leave one by one. */
static void flush(struct text *text)
{
    log_report(text->bytes, text->length);
    text->length = 0;
}

static uint64_t microseconds(uint64_t ticks, uint64_t ticks_of_a_microsecond)
{
    return ticks_of_a_microsecond ? ticks / ticks_of_a_microsecond : 0;
}

struct totals {
    uint64_t rate; /* ticks of a microsecond; 0: there is no counter, and no time is told */
    uint64_t passed, calls, ticks, ocalls;
};

static void print_ocall(struct text *text, const struct totals *totals, size_t number, const char *way, uint64_t calls, uint64_t ticks)
{
    if (calls) {
        uint64_t us = microseconds(ticks, totals->rate);
        add(text, "       %4lu.%06lu %11lu %9lu %s%s", us / 1000000, us % 1000000, us / calls, calls, ocall_name((enum ocall)number), way);
        flush(text);
    }
}

static void print_tables(const struct totals *totals)
{
    static struct text text;
    add(&text, "profile: %lu.%06lu seconds, %lu system calls, %lu OCALLs", totals->passed / 1000000, totals->passed % 1000000, totals->calls,
        totals->ocalls);
    flush(&text);
    add(&text, "profile:");
    for (size_t index = 0; index < MACHINE_COUNT_COUNT; index++) {
        add(&text, "%s %lu %s", index ? "," : "", *MACHINE_COUNTS[index].number, MACHINE_COUNTS[index].name);
    }
    flush(&text);
    add(&text, "%% time     seconds  usecs/call     calls    errors transitions syscall");
    flush(&text);
    static bool is_printed[SYSCALL_COUNT];
    for (;;) {
        size_t most = SYSCALL_COUNT;
        for (size_t number = 0; number < SYSCALL_COUNT; number++) {
            bool is_left = counts[number].calls && !is_printed[number];
            if (is_left && (most == SYSCALL_COUNT || counts[number].ticks > counts[most].ticks)) {
                most = number;
            }
        }
        if (most == SYSCALL_COUNT) {
            break;
        }
        is_printed[most] = true;
        const struct call_count *count = &counts[most];
        uint64_t us = microseconds(count->ticks, totals->rate), share = totals->ticks ? count->ticks * 10000 / totals->ticks : 0;
        add(&text, "%3lu.%02lu %4lu.%06lu %11lu %9lu %9lu %11lu %s", share / 100, share % 100, us / 1000000, us % 1000000, us / count->calls,
            count->calls, count->errors, count->transitions, syscall_table[most].name);
        flush(&text);
    }
    add(&text, "            seconds  usecs/call     calls OCALL");
    flush(&text);
    for (size_t number = 0; number < OCALL_COUNT; number++) {
        print_ocall(&text, totals, number, "", ocalls[number].calls, ocalls[number].ticks);
        print_ocall(&text, totals, number, " (switchless)", ocalls[number].switchless, ocalls[number].switchless_ticks);
    }
}

static void print_json(const struct totals *totals)
{
    static struct text text;
    const char *comma = "";
    add(&text, "{\"microseconds\":%lu,\"systemCalls\":[", totals->passed);
    for (size_t number = 0; number < SYSCALL_COUNT; number++) {
        const struct call_count *count = &counts[number];
        if (count->calls) {
            add(&text, "%s{\"name\":\"%s\",\"calls\":%lu,\"errors\":%lu,\"microseconds\":%lu,\"transitions\":%lu}", comma,
                syscall_table[number].name, count->calls, count->errors, microseconds(count->ticks, totals->rate), count->transitions);
            comma = ",";
        }
    }
    add(&text, "],\"ocalls\":[");
    comma = "";
    for (size_t number = 0; number < OCALL_COUNT; number++) {
        const struct ocall_count *count = &ocalls[number];
        if (count->calls || count->switchless) {
            add(&text, "%s{\"name\":\"%s\",\"calls\":%lu,\"microseconds\":%lu,\"switchless\":%lu,\"withdrawn\":%lu}", comma,
                ocall_name((enum ocall)number), count->calls, microseconds(count->ticks + count->switchless_ticks, totals->rate), count->switchless,
                count->withdrawn);
            comma = ",";
        }
    }
    add(&text, "],\"machine\":{");
    for (size_t index = 0; index < MACHINE_COUNT_COUNT; index++) {
        add(&text, "%s\"%s\":%lu", index ? "," : "", MACHINE_COUNTS[index].json, *MACHINE_COUNTS[index].number);
    }
    add(&text, "}}");
    flush(&text);
}

static void report(void)
{
    struct totals totals = {.passed = (clock_now_ns(CLOCK_MONOTONIC) - start_ns) / 1000};
    totals.rate = totals.passed ? (clock_counter() - start_ticks) / totals.passed : 0;
    for (size_t number = 0; number < SYSCALL_COUNT; number++) {
        totals.calls += counts[number].calls;
        totals.ticks += counts[number].ticks;
    }
    for (size_t number = 0; number < OCALL_COUNT; number++) {
        totals.ocalls += ocalls[number].calls;
        switchless += ocalls[number].switchless;
        withdrawn += ocalls[number].withdrawn;
    }
    entered = 1 + ocalls[OCALL_THREAD_CREATE].calls + totals.ocalls + exits.entries;
    ocall_counts = NULL;
    if (is_json) {
        print_json(&totals);
    } else {
        print_tables(&totals);
    }
}

void profile_start(bool json)
{
    is_json = json;
    start_ns = clock_now_ns(CLOCK_MONOTONIC);
    start_ticks = clock_counter();
    ocall_counts = ocalls;
    exit_counts = &exits;
    page_counts = &pages;
    process_upcalls.report = report;
}
