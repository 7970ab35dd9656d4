/*
 * A core in the LibOS's place: it makes every OCALL, with secrets in all registers and all memory, and looks after each whether any byte has changed that
 * the call may not write.
 *
 *     answers SEED    until the host has nothing more to lie about
 */
#include "core.h"

#include "boundary/boundary.h"
#include "ocalls.h"

#define ARENA 0x20000000ULL
#define ARENA_SIZE 0x80000ULL
#define SHADOW 0x21000000ULL
#define SHADOW_SIZE 0x80000ULL
#define PAGES 0x30000000ULL
#define PAGES_END 0x70000000ULL
#define MARGIN 512U       /* before a destination */
#define BEHIND 8192U      /* behind it */
#define ALLOWED_SIGNALS ((1ULL << 9) | (1ULL << 11))
#define ERRNO_MAX 133

extern uint32_t enclave_end HIDDEN; /* entry.S */
int64_t with_secrets(int64_t (*function)(void *), void *argument, uint64_t has_avx) HIDDEN;

static uint64_t random_state;
static struct thread *sleeper;
static uint32_t is_ending, waiting_for_end;
static uint64_t next_page = PAGES;

static uint64_t random_below(uint64_t limit)
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

_Noreturn static void stop(const char *text)
{
    host_exit_with_line(99, 0, text, strlen(text));
}

static void need(bool condition, const char *text)
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

/* One OCALL. */

struct subject {
    enum ocall number;
    uint8_t *to;    /* in the arena */
    size_t room;    /* what is asked for */
    size_t changed; /* bytes from `to` on that the answer may change */
    int64_t most;   /* of the result */
    int64_t result;
};

static const char path[] = "some/path";
#define PATH path, sizeof(path) - 1
static const uint8_t public_bytes[4096] = {'p', 'u', 'b', 'l', 'i', 'c'};
#define POLLS 8U

static void poll(struct subject *subject)
{
    struct host_poll *entries = (struct host_poll *)subject->to, before[POLLS];
    size_t count = random_below(POLLS + 1);
    for (size_t index = 0; index < count; index++) {
        entries[index] = (struct host_poll){.fd = (int32_t)index, .events = (uint16_t)(1 << random_below(3))};
    }
    memcpy(before, entries, count * sizeof(*entries));
    subject->most = (int64_t)count;
    subject->result = host_poll(entries, count, 0);
    subject->changed = count * sizeof(*entries);
    for (size_t index = 0; index < count; index++) {
        need(entries[index].fd == before[index].fd && entries[index].events == before[index].events, "poll changed what was asked for");
        need(!(entries[index].revents & ~(before[index].events | 0x38)), "revents that nobody asked for");
    }
}

static void ioctl(struct subject *subject)
{
    size_t in = subject->room < 64 ? subject->room : 64;
    memset(subject->to, 'p', in);
    subject->most = INT32_MAX;
    subject->result = host_ioctl(1, 0x5401, subject->to, in, subject->room);
    subject->changed = subject->result >= 0 && subject->room > in ? subject->room : in;
}

/* A page's life. When the host has lied in it, nothing is known of the page any more: the next one is taken. */
static void page_life(enum ocall number)
{
    volatile uint64_t *page = (volatile uint64_t *)next_page;
    uint64_t address = next_page;
    next_page += next_page < PAGES_END ? PAGE_SIZE : 0;
    if (host_memory_add(address, PAGE_SIZE) != 0 || enclave_accept(address, PAGE_SIZE) != 0) {
        return;
    }
    need(page[0] == 0 && page[511] == 0, "a new page is not zero");
    page[0] = SECRET;
    if (number == OCALL_MEMORY_PROTECT) {
        if (host_memory_protect(address, PAGE_SIZE, PAGE_READ) != 0 || enclave_accept_restricted(address, PAGE_SIZE, PAGE_READ) != 0) {
            return;
        }
        need(page[0] == SECRET, "a page has changed with its rights");
    }
    if (host_memory_trim(address, PAGE_SIZE) == 0 && enclave_accept_trimmed(address, PAGE_SIZE) == 0) {
        host_memory_remove(address, PAGE_SIZE);
    }
}

static void count(struct subject *subject, int64_t result, size_t most)
{
    subject->result = result;
    subject->most = (int64_t)most;
}

static void give(struct subject *subject, int64_t result, size_t most)
{
    count(subject, result, most);
    subject->changed = result > 0 ? (size_t)result : 0;
}

static void stat(struct subject *subject, int result)
{
    count(subject, result, 0);
    subject->changed = result == 0 ? sizeof(struct host_stat) : 0;
}

static void descriptor(struct subject *subject, int result)
{
    count(subject, result, INT32_MAX);
    need(result < 0 || result > 2, "a file became a standard stream");
}

static int64_t make_ocall(void *argument)
{
    struct subject *s = argument;
    size_t given = s->room < sizeof(public_bytes) ? s->room : sizeof(public_bytes);
    switch (s->number) {
    case OCALL_THREAD_CREATE:
        count(s, host_thread_create(), 0);
        break;
    case OCALL_WAIT:
        s->result = host_wait(random_below(1000));
        need(s->result == 0 || s->result == -ETIMEDOUT || s->result == -EINTR, "host_wait");
        break;
    case OCALL_WAKE:
        host_wake((uint32_t)random_below(8));
        break;
    case OCALL_YIELD:
        host_yield();
        break;
    case OCALL_CLOCK:
        count(s, (int64_t)host_clock(1), INT64_MAX);
        need(s->result >= 0, "a clock before the beginning");
        break;
    case OCALL_LOG:
        host_log(LOG_ERROR, (const char *)public_bytes, given);
        break;
    case OCALL_MEMORY_ADD:
    case OCALL_MEMORY_PROTECT:
    case OCALL_MEMORY_TRIM:
    case OCALL_MEMORY_REMOVE:
        page_life(s->number);
        break;
    case OCALL_READ:
        give(s, host_read(5, s->to, s->room), s->room);
        break;
    case OCALL_WRITE:
        count(s, host_write(1, public_bytes, given), given);
        break;
    case OCALL_PREAD:
        give(s, host_pread(5, s->to, s->room, random_below(1 << 30)), s->room);
        break;
    case OCALL_PWRITE:
        count(s, host_pwrite(5, public_bytes, given, random_below(1 << 30)), given);
        break;
    case OCALL_CLOSE:
        host_close(5);
        break;
    case OCALL_POLL:
        poll(s);
        break;
    case OCALL_STAT:
        stat(s, host_stat(5, (struct host_stat *)s->to));
        break;
    case OCALL_IOCTL:
        ioctl(s);
        break;
    case OCALL_SYNC:
        count(s, host_sync(5), 0);
        break;
    case OCALL_TRUNCATE:
        count(s, host_truncate(5, 100), 0);
        break;
    case OCALL_IMAGE_READ:
        give(s, host_image_read(IMAGE_ROOTFS, random_below(1 << 20), s->to, s->room), s->room);
        break;
    case OCALL_DATA_OPEN:
        descriptor(s, host_data_open(PATH));
        break;
    case OCALL_DATA_READ:
        give(s, host_data_read(5, random_below(1 << 20), s->to, s->room), s->room);
        break;
    case OCALL_DATA_CLOSE:
        host_data_close(5);
        break;
    case OCALL_VOLUME_OPEN:
        descriptor(s, host_volume_open(PATH, 0, 0));
        break;
    case OCALL_VOLUME_STAT:
        stat(s, host_volume_stat(PATH, (struct host_stat *)s->to));
        break;
    case OCALL_VOLUME_READLINK:
        give(s, host_volume_readlink(PATH, (char *)s->to, s->room), s->room);
        break;
    case OCALL_VOLUME_LIST:
        give(s, host_volume_list(5, s->to, s->room), s->room);
        break;
    case OCALL_VOLUME_MKDIR:
        count(s, host_volume_mkdir(PATH, 0700), 0);
        break;
    case OCALL_VOLUME_UNLINK:
        count(s, host_volume_unlink(PATH, 0), 0);
        break;
    case OCALL_VOLUME_RENAME:
        count(s, host_volume_rename(PATH, PATH), 0);
        break;
    case OCALL_VOLUME_SYMLINK:
        count(s, host_volume_symlink(PATH, PATH), 0);
        break;
    case OCALL_VOLUME_CHMOD:
        count(s, host_volume_chmod(PATH, 0700), 0);
        break;
    case OCALL_VOLUME_UTIME:
        count(s, host_volume_utime(PATH, 1, 2), 0);
        break;
    case OCALL_HOST_FILE:
        give(s, host_file(HOST_FILE_HOSTS, s->to, s->room), s->room);
        break;
    case OCALL_INTERRUPT:
        host_interrupt((uint32_t)random_below(8));
        break;
    case OCALL_EXIT:
    case OCALL_THREAD_EXIT:
    case OCALL_COUNT:
        return 0;
    }
    /* No default: who adds an OCALL adds it here. */
    return 0;
}

/* False: the host has told all its lies. */
__attribute__((noinline)) static bool exercise(enum ocall number)
{
    static const size_t rooms[] = {0, 1, 7, 36, 64, 100, 128, 4096, 65536};
    const void *frame = __builtin_frame_address(0);
    struct subject subject = {
        .number = number, .to = (uint8_t *)ARENA + MARGIN + random_below(64), .room = rooms[random_below(ARRAY_LENGTH(rooms))], .most = INT64_MAX,
    };
    if (number == OCALL_STAT || number == OCALL_VOLUME_STAT || number == OCALL_POLL) {
        subject.to = (uint8_t *)ARENA + MARGIN; /* aligned */
    }
    __atomic_exchange_n(&current_thread()->exchange->signals, 0, __ATOMIC_ACQ_REL);
    own_page = *current_thread();
    uint64_t before = random_state, page = next_page;
    each_area(frame, remember);
    bool has_avx = (cpu_features & CPU_FEATURE_AVX) && random_below(2);
    vector_clear(); /* AVX is not in use */
    need(with_secrets(make_ocall, &subject, has_avx) == 0, "MXCSR or the x87 control word was changed");
    uint64_t after = random_state, page_after = next_page;
    random_state = before;
    next_page = page;
    each_area(frame, compare);
    compare_own_page();
    random_state = after;
    next_page = page_after;
    is_secret((uint64_t)subject.to - MARGIN, MARGIN);
    is_secret((uint64_t)subject.to + subject.changed, subject.room - (subject.changed < subject.room ? subject.changed : subject.room) + BEHIND);
    need(subject.result <= subject.most, "a result that was not asked for");
    need(subject.result >= -ERRNO_MAX, "an error that does not exist");
    fill_with_secret((uint64_t)subject.to - MARGIN, MARGIN + subject.room + BEHIND);
    return subject.result != DONE_LYING;
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
