/*
 * A core for the boundary's tests, in the place of the LibOS: it does what the first argument says.
 *
 *     exit STATUS               end at once
 *     torture THREADS ROUNDS    self-checking code on several threads; 0 if all was well
 *     window ROUNDS             system calls, then waiting without any for a signal to be seen
 *     signals COUNT             wait for that many host signals, in the enclave and outside in turn
 *     orphan COUNT              the same on a second thread, after the first has ended
 *     abuse WHAT                do what must end the process with a message
 */
#include "boundary/boundary.h"
#include "torture.h"

/* The linker's names for the ends of section torture_code. */
extern const uint8_t __start_torture_code[] HIDDEN, __stop_torture_code[] HIDDEN;
#define STORM_SIGNALS ((1ULL << 9) | (1ULL << 11)) /* USR1, USR2 */

static uint32_t running, next_index, failures;
static void (*torture_function)(const struct torture *torture) = torture_main;
static uint64_t rounds, signals_seen, faults, orphan_signals;
static struct torture threads[64];

static const char *argument_at(const char *strings, unsigned index)
{
    while (index-- > 0) {
        strings += strlen(strings) + 1;
    }
    return strings;
}

static uint64_t number_at(const char *strings, unsigned index)
{
    uint64_t value = 0;
    for (const char *digit = argument_at(strings, index); *digit >= '0' && *digit <= '9'; digit++) {
        value = value * 10 + (uint64_t)(*digit - '0');
    }
    return value;
}

static void say(const char *text)
{
    host_log(LOG_ERROR, text, strlen(text));
}

_Noreturn static void stop(const char *text)
{
    say(text);
    host_exit(99, 0);
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

_Noreturn static void run_torture(uint32_t index)
{
    struct torture *torture = &threads[index];
    uint64_t stack = TORTURE_STACKS + index * 2 * TORTURE_STACK_SIZE;
    commit(stack, TORTURE_STACK_SIZE);
    *torture = (struct torture){
        .index = index, .rounds = rounds, .syscall_entry = (uint64_t)syscall_entry,
        .flags = (cpu_features & CPU_FEATURE_AVX) ? 1 : 0, .fs_base = stack + 64,
    };
    static struct context contexts[64];
    contexts[index] = (struct context){
        .rip = TORTURE_CODE + ((uint64_t)torture_function - (uint64_t)__start_torture_code), .rdi = (uint64_t)torture,
        .rsp = stack + TORTURE_STACK_SIZE - 8,
    };
    context_resume(&contexts[index]);
}

static void torture(uint32_t count)
{
    uint64_t code_size = (uint64_t)(__stop_torture_code - __start_torture_code), size = PAGE_UP(code_size);
    need(count >= 1 && count <= ARRAY_LENGTH(threads), "bad count");
    commit(TORTURE_CODE, size);
    memcpy((void *)TORTURE_CODE, __start_torture_code, code_size);
    enclave_extend(TORTURE_CODE, size, PAGE_EXECUTE);
    need(host_memory_restrict(TORTURE_CODE, size, PAGE_READ | PAGE_EXECUTE) == 0, "no protection");
    need(enclave_accept_restricted(TORTURE_CODE, size, PAGE_READ | PAGE_EXECUTE) == 0, "protection not accepted");
    running = count;
    for (uint32_t index = 1; index < count; index++) {
        need(host_thread_create() == 0, "no thread");
    }
    run_torture(__atomic_fetch_add(&next_index, 1, __ATOMIC_RELAXED));
}

static void wait_for_signals(uint64_t count)
{
    while (signals_seen < count) {
        signals_seen += attention_is_pending();
        struct thread *thread = current_thread();
        __atomic_exchange_n(&thread->attention, 0, __ATOMIC_ACQ_REL);
        if (__atomic_exchange_n(&thread->exchange->signals, 0, __ATOMIC_ACQ_REL) == 0) {
            int result = host_wait(signals_seen % 2 ? UINT64_MAX : 1000000);
            need(result == 0 || result == -EINTR || result == -ETIMEDOUT, "host_wait");
        }
    }
    host_exit(0, 0);
}

static void abuse(const char *what)
{
    if (strcmp(what, "pending") == 0) { /* trap mode: a page that was not accepted */
        need(host_memory_add(0x20000000, 4096) == 0, "no memory");
        *(volatile uint8_t *)0x20000000 = 1;
    }
    if (strcmp(what, "recursion") == 0) { /* a fault below the LibOS stack */
        *(volatile uint8_t *)(current_thread()->libos_stack - LIBOS_STACK_SIZE - 8) = 1;
        __asm__ volatile("mov %0, %%rsp\n push %%rax" : : "r"(current_thread()->libos_stack - LIBOS_STACK_SIZE) : "memory");
    }
    if (strcmp(what, "twice") == 0) {
        need(host_memory_add(0x20000000, 4096) == 0, "no memory");
        need(host_memory_add(0x20000000, 4096) < 0, "a page was added twice");
        need(host_memory_add(ENCLAVE_IMAGE_ADDRESS, 4096) < 0, "a page was added over the image");
        need(host_memory_restrict(0x20001000, 4096, PAGE_READ) < 0, "a page that is not there was protected");
        need(enclave_accept(0x20000000, 4096) == 0 && enclave_accept(0x20000000, 4096) == -EPERM, "accepted twice");
        need(host_memory_remove(0x20000000, 4096) < 0, "a page was removed that is not trimmed");
        need(host_memory_trim(0x20000000, 4096) == 0 && host_memory_remove(0x20000000, 4096) < 0, "removed before it was accepted");
        need(enclave_accept_trimmed(0x20000000, 4096) == 0 && host_memory_remove(0x20000000, 4096) == 0, "not removed");
        commit(0x20000000, 4096);
        need(*(volatile uint8_t *)0x20000000 == 0, "a new page is not zero");
        host_exit(0, 0);
    }
    if (strcmp(what, "cycle") == 0) { /* what an honest host does on any machine */
        commit(0x20000000, 4 * PAGE_SIZE);
        *(volatile uint8_t *)0x20001000 = 1;
        need(host_memory_restrict(0x20000000, 4 * PAGE_SIZE, PAGE_READ) == 0, "not restricted");
        need(enclave_accept_restricted(0x20000000, 4 * PAGE_SIZE, PAGE_READ) == 0, "restriction not accepted");
        need(host_memory_trim(0x20000000, 4 * PAGE_SIZE) == 0 && host_memory_remove(0x20000000, 4 * PAGE_SIZE) < 0, "removed before it was accepted");
        need(enclave_accept_trimmed(0x20000000, 4 * PAGE_SIZE) == 0 && host_memory_remove(0x20000000, 4 * PAGE_SIZE) == 0, "not removed");
        commit(0x20000000, 4 * PAGE_SIZE);
        need(*(volatile uint8_t *)0x20001000 == 0, "a new page is not zero");
        *(volatile uint8_t *)0x20001000 = 1;
        host_exit(0, 0);
    }
    stop("nothing happened");
}

static void thread_start(void)
{
    if (orphan_signals > 0) {
        wait_for_signals(orphan_signals);
    }
    if (running == 0) {
        host_thread_exit(); /* nobody asked for it */
    }
    run_torture(__atomic_fetch_add(&next_index, 1, __ATOMIC_RELAXED));
}

static void end_of_thread(uint64_t failed)
{
    if (failed) {
        __atomic_store_n(&failures, (uint32_t)failed, __ATOMIC_RELAXED);
    }
    if (__atomic_sub_fetch(&running, 1, __ATOMIC_ACQ_REL) > 0) {
        host_thread_exit();
    }
    log_line(LOG_INFO, "signals and faults were seen");
    host_exit(failures, 0);
}

static void system_call(struct context *context)
{
    switch (context->rax) {
    case CALL_NOTHING:
        break;
    case CALL_CLOCK:
        host_clock(1);
        context->rax = CALL_RESULT;
        break;
    case CALL_END:
        end_of_thread(context->rdi);
        break;
    default:
        stop("unknown system call");
    }
}

static bool exception(struct context *context, const struct exception_info *info)
{
    uint64_t page = info->address & ~(PAGE_SIZE - 1);
    if (!context_is_application(context) || info->vector != VECTOR_PAGE_FAULT || page < TORTURE_PAGES) {
        return false;
    }
    need(info->error_code & FAULT_CODE_WRITE, "the error code does not say that it was a write");
    __atomic_fetch_add(&faults, 1, __ATOMIC_RELAXED);
    commit(page, PAGE_SIZE);
    return true;
}

static void attention(struct context *context, uint64_t host_signals)
{
    need(context_is_application(context), "attention for the LibOS");
    need((host_signals & ~STORM_SIGNALS) == 0, "a host signal that is not allowed");
    __atomic_fetch_add(&signals_seen, 1, __ATOMIC_RELAXED);
    if (torture_function == window_main) {
        *(volatile uint64_t *)TORTURE_PAGES = signals_seen;
    }
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

int strcmp(const char *one, const char *other)
{
    while (*one && *one == *other) {
        one++;
        other++;
    }
    return *one - *other;
}

void libos_start(const struct boot *boot, const char *strings)
{
    (void)boot;
    boundary_upcalls.thread_start = thread_start;
    boundary_upcalls.attention = attention;
    cpu_upcalls.system_call = system_call;
    cpu_upcalls.exception = exception;
    boundary_allow_signals(STORM_SIGNALS);
    if (strcmp(strings, "exit") == 0) {
        host_exit((uint32_t)number_at(strings, 1), 0);
    }
    if (strcmp(strings, "torture") == 0) {
        rounds = number_at(strings, 2);
        torture((uint32_t)number_at(strings, 1));
    }
    if (strcmp(strings, "window") == 0) {
        rounds = number_at(strings, 1);
        torture_function = window_main;
        commit(TORTURE_PAGES, PAGE_SIZE);
        torture(1);
    }
    if (strcmp(strings, "signals") == 0) {
        wait_for_signals(number_at(strings, 1));
    }
    if (strcmp(strings, "orphan") == 0) {
        orphan_signals = number_at(strings, 1);
        need(host_thread_create() == 0, "no thread");
        host_thread_exit();
    }
    if (strcmp(strings, "sha256") == 0) {
        static const uint8_t abc[32] = {
            0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
            0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
        };
        enum { MESSAGES = 41 }; /* 16 twice, and more than half of 16 */
        static const uint32_t less[] = {0, CPU_FEATURE_AVX512, UINT32_MAX};
        uint8_t messages[3 * MESSAGES], digests[32 * MESSAGES];
        for (size_t i = 0; i < sizeof messages; i++) {
            messages[i] = (uint8_t)('a' + i % 3);
        }
        for (size_t i = 0; i < ARRAY_LENGTH(less); i++) {
            cpu_features &= ~less[i];
            for (size_t count = 1; count <= MESSAGES; count++) {
                memset(digests, 0, sizeof digests);
                sha256_each(messages, 3, count, digests);
                for (size_t at = 0; at < count; at++) {
                    need(memcmp(digests + 32 * at, abc, 32) == 0, "SHA-256");
                }
            }
        }
        host_exit(0, 0);
    }
    if (strcmp(strings, "debug") == 0) {
        host_exit(enclave_is_debug(), 0);
    }
    abuse(argument_at(strings, 1));
    stop("unknown");
}
