#define _GNU_SOURCE
#include "process.h"

#include <cpuid.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "host_time.h"
#include "log.h"
#include "machine.h"
#include "processors.h"
#include "worker.h"

#define THREAD_STACK_SIZE (256UL << 10)
#define EXIT_NOT_STARTED 125
#define RETRY_NS 1000000L
#define REFUSALS_MAX 30000 /* times RETRY_NS: a start that takes so long has failed */
#define CLAIMS_MAX 1000    /* the same: so long nobody has left */

#define XGETBV_OF_XINUSE 4U /* SDM volume 2, CPUID, leaf 0DH, subleaf 1, EAX */

struct process process = {.root = -1, .image_files = {-1, -1}};

static uint8_t boot_bytes[EXCHANGE_DATA_SIZE]; /* struct boot and its strings */
static uint32_t boot_size;

/* Host signals go to one thread that runs. Without one they wait here: before the start, and while the last thread that could take them ends. */
static pthread_mutex_t signals_mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t signals_waiting;

static struct host_thread *main_thread;
static uint32_t thread_count; /* without the main thread; futex word */
static uint32_t exiting;

uint32_t cpu_features_found(void)
{
    const uint32_t avx512 = bit_AVX512F | bit_AVX512BW | (uint32_t)bit_AVX512VL;
    uint32_t a, b, c, d, found = 0;
    if (__get_cpuid(1, &a, &b, &c, &d)) {
        found |= (c & bit_AES) ? CPU_FEATURE_AES : 0;
        found |= (c & bit_AVX) ? CPU_FEATURE_AVX : 0;
    }
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        found |= (b & bit_SHA) ? CPU_FEATURE_SHA : 0;
        found |= (b & avx512) == avx512 ? CPU_FEATURE_AVX512 : 0;
    }
    if (__get_cpuid_count(0xD, 1, &a, &b, &c, &d)) {
        found |= (a & XGETBV_OF_XINUSE) ? CPU_FEATURE_XINUSE : 0;
    }
    return found;
}

static void read_cpuid_words(uint32_t words[CPUID_WORD_COUNT])
{
    uint32_t a, b, c, d;
    memset(words, 0, CPUID_WORD_COUNT * sizeof(*words));
    if (__get_cpuid(1, &a, &b, &c, &d)) {
        words[CPUID_1_EAX] = a;
        words[CPUID_1_ECX] = c;
    }
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        words[CPUID_7_EBX] = b;
        words[CPUID_7_ECX] = c;
        words[CPUID_7_EDX] = d;
    }
    if (__get_cpuid_count(0xD, 1, &a, &b, &c, &d)) {
        words[CPUID_D_1_EAX] = a;
    }
    if (__get_cpuid(0x80000001, &a, &b, &c, &d)) {
        words[CPUID_80000001_ECX] = c;
    }
}

static int append_strings(char **strings, uint32_t *count)
{
    for (*count = 0; strings && strings[*count]; ++*count) {
        size_t size = strlen(strings[*count]) + 1;
        if (size > sizeof(boot_bytes) - boot_size) {
            return fail(-E2BIG, "arguments and environment are longer than %zu bytes", sizeof(boot_bytes));
        }
        memcpy(boot_bytes + boot_size, strings[*count], size);
        boot_size += (uint32_t)size;
    }
    return 0;
}

int process_set_arguments(char **arguments, char **environment)
{
    struct boot boot = {.log_level = log_level(), .cpu_features = cpu_features_found(), .processors = processors_allowed(), .flags = process.boot_flags};
    boot_size = sizeof(boot);
    host_time_start();
    read_cpuid_words(boot.cpuid);
    int error = append_strings(arguments, &boot.argument_count);
    if (!error) {
        error = append_strings(environment, &boot.environment_count);
    }
    boot.strings_size = boot_size - (uint32_t)sizeof(boot);
    memcpy(boot_bytes, &boot, sizeof(boot));
    return error;
}

/* Only faults and our own signal may reach a thread that runs the enclave: other handlers would run on the application's stack. */
static void block_signals(sigset_t *before)
{
    sigset_t blocked;
    static const int needed[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigfillset(&blocked);
    for (size_t index = 0; index < sizeof(needed) / sizeof(needed[0]); index++) {
        sigdelset(&blocked, needed[index]);
    }
    sigdelset(&blocked, machine_interrupt_signal());
    pthread_sigmask(SIG_SETMASK, &blocked, before);
}

static bool is_exiting(void)
{
    return __atomic_load_n(&exiting, __ATOMIC_ACQUIRE);
}

void process_set_exit(uint64_t status, uint64_t signal)
{
    uint32_t expected = 0;
    int value = signal ? 128 + (int)(signal & 0x7F) : (int)(status & 0xFF);
    if (__atomic_compare_exchange_n(&exiting, &expected, 2, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        process.exit_value = value;
        machine->abandon_all();
        commands_end();
    }
}

static void enclave_loop(struct host_thread *thread, uint64_t ecall)
{
    uint32_t refusals = 0;
    while (!is_exiting()) {
        switch (machine->enter(thread, ecall)) {
        case EEXIT_DONE:
            break;
        case EEXIT_REFUSED: /* a command, and the first program is not there yet */
            if (ecall != ECALL_COMMAND) {
                die("the enclave refused ECALL ", ecall);
            }
            if (refusals++ == REFUSALS_MAX) {
                return;
            }
            nanosleep(&(struct timespec){.tv_nsec = RETRY_NS}, NULL);
            continue;
        case EEXIT_ENDED: /* another thread brings OCALL_EXIT */
        case MACHINE_ABANDONED:
            return;
        case EEXIT_BROKEN:
            die("the enclave has stopped itself: an exception came where it has no stack, after ECALL ", ecall);
        default:
            die("the enclave refused ECALL ", ecall);
        }
        switch (ocall_serve(thread)) {
        case STEP_RETURN:
            ecall = ECALL_RETURN;
            break;
        case STEP_THREAD_EXIT:
        case STEP_PROCESS_EXIT:
            return;
        }
    }
}

/* With the mutex held. */
static void deliver_waiting_signals(void)
{
    struct host_thread *thread = host_thread_for_signals();
    if (thread && signals_waiting) {
        __atomic_fetch_or(&thread->exchange->signals, signals_waiting, __ATOMIC_SEQ_CST);
        signals_waiting = 0;
        host_thread_interrupt(thread);
    }
}

static void post_signals(uint64_t signals)
{
    pthread_mutex_lock(&signals_mutex);
    signals_waiting |= signals;
    deliver_waiting_signals();
    pthread_mutex_unlock(&signals_mutex);
}

/* What a thread leaves behind when it ends goes to another one. */
static void take_signals(struct host_thread *thread, bool takes)
{
    pthread_mutex_lock(&signals_mutex);
    thread->takes_signals = takes;
    if (!takes) {
        signals_waiting |= __atomic_exchange_n(&thread->exchange->signals, 0, __ATOMIC_SEQ_CST);
    }
    deliver_waiting_signals();
    pthread_mutex_unlock(&signals_mutex);
}

static bool begin_thread(struct host_thread *thread)
{
    int error = machine->thread_begin(thread);
    if (error) {
        log_message(LOG_ERROR, "a thread cannot run the enclave: %s", strerror(-error));
        process_set_exit(EXIT_NOT_STARTED, 0);
        return false;
    }
    thread->exchange->thread_index = thread->index;
    return true;
}

/* From an entry to the last OCALL. */
static void live(struct host_thread *thread, uint64_t ecall)
{
    take_signals(thread, true);
    enclave_loop(thread, ecall);
    take_signals(thread, false);
}

static void end_thread(struct host_thread *thread)
{
    machine->thread_end(thread);
    host_thread_free(thread);
}

/* Threads may be anywhere; a signal that finds one between two looks is not noticed, so it is sent until it is gone. */
static void drive_out(struct host_thread *thread)
{
    while (thread && is_exiting() && __atomic_load_n(&thread->in_use, __ATOMIC_ACQUIRE)) {
        host_thread_interrupt(thread);
        nanosleep(&(struct timespec){.tv_nsec = RETRY_NS}, NULL);
    }
}

static void count_out(void)
{
    __atomic_fetch_sub(&thread_count, 1, __ATOMIC_ACQ_REL);
    syscall(SYS_futex, &thread_count, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

static void *thread_main(void *argument)
{
    struct host_thread *thread = argument;
    sigset_t before;
    block_signals(&before);
    if (begin_thread(thread)) {
        do {
            live(thread, ECALL_THREAD);
        } while (host_thread_park(thread, is_exiting));
    }
    end_thread(thread);
    drive_out(main_thread);
    count_out();
    return NULL;
}

bool process_is_ending(void)
{
    return is_exiting();
}

struct host_thread *process_claim_thread(void)
{
    struct host_thread *thread = NULL;
    __atomic_fetch_add(&thread_count, 1, __ATOMIC_ACQ_REL);
    for (int tried = 0; tried < CLAIMS_MAX && !thread && !is_exiting(); tried++) {
        bool is_running = __atomic_load_n(&main_thread, __ATOMIC_ACQUIRE);
        thread = is_running ? host_thread_claim() : NULL;
        if (!thread) {
            host_thread_retire();
            nanosleep(&(struct timespec){.tv_nsec = RETRY_NS}, NULL);
        }
    }
    if (!thread) {
        count_out();
    }
    return thread;
}

void process_give_back_thread(struct host_thread *thread)
{
    host_thread_free(thread);
    count_out();
}

void process_enter_command(struct host_thread *thread, const void *request, size_t size, void (*left)(struct host_thread *thread))
{
    sigset_t before;
    memcpy(thread->exchange->data, request, size);
    block_signals(&before);
    if (begin_thread(thread)) {
        live(thread, ECALL_COMMAND);
    }
    left(thread);
    end_thread(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    drive_out(main_thread);
    count_out();
}

/* Until the first program is there, entries are refused. */
static uint64_t enter_for_report(struct host_thread *thread, const uint8_t target[TARGETINFO_SIZE])
{
    uint64_t left = EEXIT_REFUSED;
    memcpy(thread->exchange->data, target, TARGETINFO_SIZE);
    thread->exchange->result = -EAGAIN;
    for (int tried = 0; tried < REFUSALS_MAX && left == EEXIT_REFUSED && thread->exchange->result == -EAGAIN && !is_exiting(); tried++) {
        if (tried > 0) {
            nanosleep(&(struct timespec){.tv_nsec = RETRY_NS}, NULL);
        }
        left = machine->enter(thread, ECALL_REPORT);
    }
    return left;
}

int process_report(const uint8_t target[TARGETINFO_SIZE], struct report *report)
{
    struct host_thread *thread = process_claim_thread();
    sigset_t before;
    int64_t result = -ESRCH;
    if (!thread) {
        return process_is_ending() ? fail(-ESRCH, "the enclave has ended")
                                   : fail(-EAGAIN, "the enclave does not run, or no thread of it is free for a report (see --set threads)");
    }
    block_signals(&before);
    if (begin_thread(thread)) {
        uint64_t left = enter_for_report(thread, target);
        result = left == EEXIT_REFUSED ? thread->exchange->result : -ESRCH;
        memcpy(report, thread->exchange->data, REPORT_SIZE);
    }
    end_thread(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    drive_out(main_thread);
    count_out();
    switch (result) {
    case REPORT_SIZE:
        return 0;
    case -EINVAL:
        return fail(-EINVAL, "the TARGETINFO is not one: fields that are reserved are not zero");
    case -ESRCH:
        return fail(-ESRCH, "the enclave has ended");
    default:
        return fail(-EAGAIN, "the enclave does not run yet");
    }
}

int process_create_thread(void)
{
    pthread_t handle;
    pthread_attr_t attributes;
    if (!is_exiting() && host_thread_call()) {
        return 0;
    }
    struct host_thread *thread = is_exiting() ? NULL : host_thread_claim();
    if (!thread) {
        return -EAGAIN;
    }
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, THREAD_STACK_SIZE);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    __atomic_fetch_add(&thread_count, 1, __ATOMIC_ACQ_REL);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&handle, &attributes, thread_main, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (error) {
        __atomic_fetch_sub(&thread_count, 1, __ATOMIC_ACQ_REL);
        host_thread_free(thread);
        return -EAGAIN;
    }
    return 0;
}

/* Without an end of the process this waits for the threads' own ends. */
static void wait_for_threads(void)
{
    uint32_t count;
    host_threads_end_parking();
    while ((count = __atomic_load_n(&thread_count, __ATOMIC_ACQUIRE)) > 0) {
        for (uint32_t index = 0; host_thread_at(index); index++) {
            drive_out(host_thread_at(index));
        }
        syscall(SYS_futex, &thread_count, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, count, NULL, NULL, 0);
    }
}

int process_run(void)
{
    struct host_thread *thread = host_thread_claim();
    if (!thread) {
        return fail(-EBUSY, "the enclave is running already");
    }
    __atomic_store_n(&main_thread, thread, __ATOMIC_RELEASE);
    memcpy(thread->exchange->data, boot_bytes, boot_size);
    sigset_t before;
    block_signals(&before);
    if (begin_thread(thread)) {
        live(thread, ECALL_START);
    }
    end_thread(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    wait_for_threads();
    workers_stop();
    return 0;
}

void process_signal(int signal)
{
    uint64_t bit = 1ULL << (signal - 1);
    if (signal == SIGKILL) {
        process_set_exit(0, SIGKILL);
        drive_out(main_thread);
        return;
    }
    post_signals(bit);
}
