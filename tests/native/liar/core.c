/*
 * A core in the LibOS's place: it makes every OCALL, with secrets in all registers and all memory, and looks after each whether any byte has
 * changed that the call may not write.
 *
 *     answers SEED    until the host has nothing more to lie about
 */
#include "core_calls.h"

#define ARENA 0x20000000ULL
#define ARENA_SIZE 0x80000ULL
#define SHADOW 0x21000000ULL
#define SHADOW_SIZE 0x80000ULL
#define MARGIN 512U       /* before a destination */
#define BEHIND 8192U      /* behind it */
#define ALLOWED_SIGNALS ((1ULL << 9) | (1ULL << 11))
#define ERRNO_MAX 133

extern uint32_t enclave_end HIDDEN; /* entry.S */
int64_t with_secrets(int64_t (*function)(void *), void *argument, uint64_t has_avx) HIDDEN;

uint64_t random_state;
static struct thread *sleeper;
static uint32_t is_ending, waiting_for_end;

uint64_t random_below(uint64_t limit)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (random_state * 2685821657736338717ULL >> 16) % limit;
}

static void say(const char *text)
{
    host_log(LOG_ERROR, text, strlen(text));
}

_Noreturn void stop(const char *text)
{
    host_exit_with_line(99, 0, text, strlen(text));
}

void need(bool condition, const char *text)
{
    if (!condition) {
        stop(text);
    }
}

static void commit(uint64_t address, uint64_t length)
{
    need(host_memory_add(address, length) == 0 && enclave_accept(address, length) == 0, "no memory");
}

/* Memory that no OCALL may change. */

struct area {
    const uint8_t *start;
    size_t size;
};
#define AREAS 3

static struct area data_segment(void)
{
    struct program_header { /* Elf64_Phdr */
        uint32_t type, flags;
        uint64_t offset, address, physical, file_size, memory_size, alignment;
    };
    extern const uint8_t __ehdr_start[] HIDDEN;
    enum { PHOFF = 32, PHNUM = 56, PT_LOAD = 1, PF_W = 2 };
    uint64_t headers;
    uint16_t count;
    memcpy(&headers, __ehdr_start + PHOFF, sizeof(headers));
    memcpy(&count, __ehdr_start + PHNUM, sizeof(count));
    const struct program_header *header = (const struct program_header *)(__ehdr_start + headers);
    for (; count > 0; count--, header++) {
        if (header->type == PT_LOAD && (header->flags & PF_W)) {
            return (struct area){__ehdr_start + header->address, header->memory_size};
        }
    }
    stop("no data segment");
}

static struct thread own_page;

__attribute__((noinline)) static void each_area(const void *frame, void (*each)(const struct area *area, uint8_t *shadow))
{
    const struct thread *thread = current_thread();
    uint8_t *shadow = (uint8_t *)SHADOW;
    const struct area areas[AREAS] = {
        data_segment(),
        {frame, thread->libos_stack - (uint64_t)frame},
        {(const uint8_t *)sleeper->libos_stack - LIBOS_STACK_SIZE, LIBOS_STACK_SIZE},
    };
    for (size_t index = 0; index < AREAS; index++) {
        each(&areas[index], shadow);
        shadow += areas[index].size;
    }
}

static void remember(const struct area *area, uint8_t *shadow)
{
    need((uint64_t)shadow + area->size <= SHADOW + SHADOW_SIZE, "the shadow is too small");
    memcpy(shadow, area->start, area->size);
}

static void compare(const struct area *area, uint8_t *shadow)
{
    need(memcmp(shadow, area->start, area->size) == 0, "memory was changed");
}

static void compare_own_page(void)
{
    const struct thread *now = current_thread();
    need(now->self == own_page.self && now->tcs == own_page.tcs && now->state == THREAD_INSIDE && now->attention == own_page.attention &&
             now->libos_stack == own_page.libos_stack && now->exchange == own_page.exchange && now->task == own_page.task &&
             now->index == own_page.index && now->host_index == own_page.host_index,
         "the thread's own page was changed");
}

/* The arena is full of secrets. */

static void fill_with_secret(uint64_t start, uint64_t size)
{
    const uint64_t secret = SECRET;
    for (uint64_t at = start & ~7ULL; at < start + size; at += 8) {
        memcpy((void *)at, &secret, sizeof(secret));
    }
}

static void is_secret(uint64_t start, uint64_t size)
{
    const uint64_t secret = SECRET;
    for (uint64_t at = start; at < start + size; at++) {
        need(*(const uint8_t *)at == ((const uint8_t *)&secret)[at % 8], "a byte beyond the end was changed");
    }
}

/* False: the host has told all its lies. */
__attribute__((noinline)) static bool exercise(enum ocall number)
{
    static const size_t rooms[] = {0, 1, 7, 36, 64, 100, 128, 4096, 65536};
    const void *frame = __builtin_frame_address(0);
    struct subject subject = {
        .number = number, .to = (uint8_t *)ARENA + MARGIN + random_below(64), .room = rooms[random_below(ARRAY_LENGTH(rooms))], .most = INT64_MAX,
    };
    if (number == OCALL_STAT || number == OCALL_VOLUME_STAT || number == OCALL_POLL || number >= OCALL_SOCKET) {
        subject.to = (uint8_t *)ARENA + MARGIN; /* aligned */
    }
    __atomic_exchange_n(&current_thread()->exchange->signals, 0, __ATOMIC_ACQ_REL);
    own_page = *current_thread();
    uint64_t before = random_state, page = next_page, activity = ocalls_with_activity;
    each_area(frame, remember);
    bool has_avx = (cpu_features & CPU_FEATURE_AVX) && random_below(2);
    vector_clear(); /* AVX is not in use */
    need(with_secrets(make_ocall, &subject, has_avx) == 0, "MXCSR or the x87 control word was changed");
    uint64_t after = random_state, page_after = next_page, activity_after = ocalls_with_activity;
    random_state = before;
    next_page = page;
    ocalls_with_activity = activity;
    each_area(frame, compare);
    compare_own_page();
    random_state = after;
    next_page = page_after;
    ocalls_with_activity = activity_after;
    is_secret((uint64_t)subject.to - MARGIN, MARGIN);
    is_secret((uint64_t)subject.to + subject.changed, subject.room - (subject.changed < subject.room ? subject.changed : subject.room) + BEHIND);
    need(subject.result <= subject.most, "a result that was not asked for");
    need(subject.result >= -ERRNO_MAX, "an error that does not exist");
    fill_with_secret((uint64_t)subject.to - MARGIN, MARGIN + subject.room + BEHIND);
    return subject.result != DONE_LYING;
}

/* By the host's last word, and by OCALLs where that does not hold. */
static void look_at_clocks(void)
{
    static uint64_t latest[CLOCK_BOOTTIME + 1];
    static const enum clock_id clocks[] = {CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME, CLOCK_MONOTONIC};
    for (size_t index = 0; index < ARRAY_LENGTH(clocks); index++) {
        uint64_t now = clock_now_ns(clocks[index]);
        need(now <= INT64_MAX, "a clock beyond the end");
        need(clocks[index] == CLOCK_REALTIME || now >= latest[clocks[index]], "a monotonic clock went back");
        latest[clocks[index]] = now;
    }
}

_Noreturn static void answers(void)
{
    static uint32_t rounds;
    commit(ARENA, ARENA_SIZE);
    commit(SHADOW, SHADOW_SIZE);
    fill_with_secret(ARENA, ARENA_SIZE);
    need(host_thread_create() == 0, "no thread");
    while (!__atomic_load_n(&sleeper, __ATOMIC_ACQUIRE)) {
        host_yield();
    }
    say(SAYS_LIE);
    while (exercise((enum ocall)(rounds % OCALL_COUNT))) {
        if (rounds % OCALL_COUNT == OCALL_CLOCK) {
            look_at_clocks();
        }
        rounds++;
        if (rounds % 1024 == 0) {
            is_secret(ARENA, ARENA_SIZE);
        }
    }
    is_secret(ARENA, ARENA_SIZE);
    say(SAYS_ATTACK);
    host_clock(1); /* what is attacked is the way to here */
    say(SAYS_END);
    __atomic_store_n(&is_ending, 1, __ATOMIC_RELEASE);
    need(host_thread_create() == 0 && host_thread_create() == 0, "no thread");
    while (__atomic_load_n(&waiting_for_end, __ATOMIC_ACQUIRE) < 2) {
        host_yield();
    }
    host_exit(0, 0);
}

_Noreturn static void go_on_after_end(void)
{
    for (;;) {
        *(volatile uint64_t *)current_thread()->exchange->data = STILL_HERE;
    }
}

/* One thread tries to leave for an OCALL, the other one to go back to what would be the application. */
_Noreturn static void outlive(void)
{
    static struct context context;
    bool is_first = __atomic_fetch_add(&waiting_for_end, 1, __ATOMIC_ACQ_REL) == 0;
    while (__atomic_load_n(&enclave_end, __ATOMIC_ACQUIRE) == 0) {
    }
    if (is_first) {
        host_clock(1);
        stop("the end came to nothing");
    }
    context = (struct context){.rip = (uint64_t)go_on_after_end, .rsp = current_thread()->libos_stack - 4096};
    context_resume(&context);
}

static int64_t sleep_for_ever(void *depth)
{
    volatile uint64_t secrets[64];
    for (size_t index = 0; index < ARRAY_LENGTH(secrets); index++) {
        secrets[index] = SECRET;
    }
    if (depth) {
        return with_secrets(sleep_for_ever, (uint8_t *)depth - 1, 0) + (int64_t)secrets[0];
    }
    __atomic_store_n(&sleeper, current_thread(), __ATOMIC_RELEASE);
    for (;;) {
        host_wait(UINT64_MAX);
    }
}

static void thread_start(void)
{
    if (__atomic_load_n(&is_ending, __ATOMIC_ACQUIRE)) {
        outlive();
    }
    if (__atomic_load_n(&sleeper, __ATOMIC_ACQUIRE)) {
        host_thread_exit(); /* nobody asked for it */
    }
    sleep_for_ever((void *)8);
    stop("woken");
}

static void system_call(struct context *context)
{
    (void)context;
}

static bool exception(struct context *context, const struct exception_info *info)
{
    (void)context;
    (void)info;
    return false;
}

static void attention(struct context *context, uint64_t host_signals)
{
    (void)context;
    (void)host_signals;
}

void log_line(enum log_level level, const char *format, ...)
{
    (void)level;
    say(format);
}

void fatal(const char *format, ...)
{
    stop(format);
}

int copy_from_user(void *to, user_address from, size_t size)
{
    memcpy(to, (const void *)from, size);
    return 0;
}

size_t strlen(const char *text)
{
    size_t length = 0;
    while (text[length]) {
        length++;
    }
    return length;
}

void libos_start(const struct boot *boot, const char *strings)
{
    (void)boot;
    boundary_upcalls.thread_start = thread_start;
    boundary_upcalls.attention = attention;
    cpu_upcalls.system_call = system_call;
    cpu_upcalls.exception = exception;
    boundary_allow_signals(ALLOWED_SIGNALS);
    for (const char *digit = strings + strlen(strings) + 1; *digit; digit++) {
        random_state = random_state * 10 + (uint64_t)(*digit - '0');
    }
    answers();
}
