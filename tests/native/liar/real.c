/*
 * Lies to the real LibOS under a program. At each OCALL of the program's first thread children are made, in which the host lies from then on; the
 * parent stays honest, so that the program comes to all of its OCALLs. A child ends with the program; what must not happen is that the program finds
 * anything changed, or that the LibOS touches what is not there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "liar.h"
#include "ocall.h"
#include "ocall_files.h"
#include "sim.h"

#define SECONDS_TO_RUN 1    /* of the processor */
#define SECONDS_TO_WAIT 120 /* a machine may be busy */
#define STATUS_FOUND 99 /* of the program */
#define STATUS_OF_SIGNAL 128
#define LIES_AGAIN 8 /* one in so many later OCALLs of a child */

static bool is_child;
static bool was_attacked;

/* What a child has to expect: lies; to be counted; no more lies. */
enum lot { LIED_TO, COUNTED, LEFT_ALONE };

/* Other threads stay outside while the first one is attacked. */
enum place { NEVER_OUTSIDE, OUTSIDE, INSIDE };
#define THREADS 64U
static uint32_t held, places[THREADS];

static bool all_are_outside(void)
{
    const struct host_thread *thread;
    for (uint64_t index = 1; (thread = host_thread_at(index)) != NULL; index++) {
        bool is_used = __atomic_load_n(&thread->in_use, __ATOMIC_SEQ_CST) && !__atomic_load_n(&thread->parking, __ATOMIC_SEQ_CST);
        if (is_used && __atomic_load_n(&places[index % THREADS], __ATOMIC_SEQ_CST) != OUTSIDE) {
            return false;
        }
    }
    return true;
}

static void attack(struct host_thread *thread)
{
    __atomic_store_n(&held, 1, __ATOMIC_SEQ_CST);
    while (!all_are_outside()) {
        usleep(1000);
    }
    attack_entries(thread);
    __atomic_store_n(&held, 0, __ATOMIC_SEQ_CST);
}

static struct request read_request(struct host_thread *thread)
{
    struct request call = {.thread = thread, .data = thread->exchange->data};
    memcpy(call.arguments, thread->exchange->arguments, sizeof(call.arguments));
    return call;
}

/* The end of a child. */

static bool is_fault(uint64_t signal)
{
    return signal == SIGILL || signal == SIGTRAP || signal == SIGBUS || signal == SIGFPE || signal == SIGSEGV;
}

_Noreturn static void end_child(const struct request *call)
{
    uint64_t status = call->arguments[0], signal = call->arguments[1];
    int length = (int)(call->arguments[2] < 200 ? call->arguments[2] : 200);
    if (signal ? is_fault(signal) && !counts->took_memory : status == STATUS_FOUND) {
        found("the program ended with status %lu, signal %lu", status, signal);
    }
    if (length >= 9 && memcmp(call->data, "exception", 9) == 0 && !counts->took_memory) {
        found("the LibOS: %.*s", length, (const char *)call->data);
    }
    _exit(0);
}

static enum next_step serve_other(struct host_thread *thread)
{
    uint32_t *place = &places[thread->index % THREADS];
    __atomic_store_n(place, OUTSIDE, __ATOMIC_SEQ_CST);
    if (is_child && *(volatile uint32_t *)&thread->exchange->ocall == OCALL_EXIT) {
        struct request call = read_request(thread);
        end_child(&call);
    }
    enum next_step step = honest_serve(thread);
    __atomic_store_n(place, step == STEP_RETURN ? INSIDE : NEVER_OUTSIDE, __ATOMIC_SEQ_CST);
    while (step == STEP_RETURN && __atomic_load_n(&held, __ATOMIC_SEQ_CST)) {
        __atomic_store_n(place, OUTSIDE, __ATOMIC_SEQ_CST);
        usleep(1000);
        __atomic_store_n(place, INSIDE, __ATOMIC_SEQ_CST);
    }
    return step;
}

static bool is_of_memory(uint32_t number)
{
    return number >= OCALL_MEMORY_ADD && number <= OCALL_MEMORY_REMOVE;
}

/* What would be missing for the parent, or in its way, is not done in a child to which the host lies. */
static bool changes_volume(const struct request *call, uint32_t number)
{
    switch (number) {
    case OCALL_VOLUME_OPEN:
        return call->arguments[1] & O_CREAT;
    case OCALL_VOLUME_UNLINK:
    case OCALL_VOLUME_RENAME:
    case OCALL_VOLUME_LINK:
    case OCALL_VOLUME_CHOWN:
    case OCALL_VOLUME_MKDIR:
    case OCALL_VOLUME_MKNOD:
    case OCALL_VOLUME_SYMLINK:
        return true;
    default:
        return false;
    }
}

/* Sockets are shared with the parent, and so is what is on its way in them. */
static bool changes_sockets(uint32_t number)
{
    switch (number) {
    case OCALL_SOCKET_BIND:
    case OCALL_SOCKET_CONNECT:
    case OCALL_SOCKET_LISTEN:
    case OCALL_SOCKET_ACCEPT:
    case OCALL_SOCKET_SEND:
    case OCALL_SOCKET_RECEIVE:
    case OCALL_SOCKET_SHUT:
    case OCALL_OPTION_SET:
    case OCALL_EVENTS_CHANGE:
        return true;
    default:
        return false;
    }
}

/* Tells of one file as often as there is room for: how often. */
static int64_t repeat_event(const struct request *call)
{
    struct host_event *events = (struct host_event *)((struct host_ahead *)call->data + 1);
    for (uint64_t at = 1; at < call->arguments[1]; at++) {
        events[at] = events[0];
    }
    return (int64_t)call->arguments[1];
}

/* Time passes as the host wants: nobody sleeps. */
static int64_t answer_in_child(struct request *call, uint32_t number, enum lot lot, bool lies)
{
    if (number == OCALL_WAIT && call->arguments[0] == UINT64_MAX && !lies) {
        _exit(0); /* there is nobody left who would wake it */
    }
    if (number == OCALL_POLL) {
        call->arguments[1] = 0;
    }
    if (number == OCALL_EVENTS_WAIT) {
        call->arguments[2] = 0;
    }
    bool is_done = !changes_sockets(number) && (lot != LIED_TO || !changes_volume(call, number)) && (!lies || !is_of_memory(number) || random_below(2));
    int64_t result = number == OCALL_WAIT ? -ETIMEDOUT : is_done ? honest_answer(call, number) : 0;
    if (lot == LIED_TO && number == OCALL_VOLUME_OPEN && (call->arguments[1] & O_CREAT)) {
        result = host_descriptor_add(memfd_create("file", MFD_CLOEXEC));
    }
    if (number == OCALL_SOCKET_ACCEPT) {
        result = host_descriptor_add(memfd_create("socket", MFD_CLOEXEC));
    }
    if (lies && number == OCALL_EVENTS_WAIT && result > 0 && random_below(2)) {
        counts->lies++;
        return repeat_event(call);
    }
    if (lies) {
        counts->took_memory |= is_of_memory(number);
        result = add_lies(call, number, result);
    }
    return result;
}

static void go_on_in_child(struct host_thread *thread, enum lot lot)
{
    uint64_t code = go_on(thread);
    bool refused_to_start = code == EEXIT_REFUSED && lot == LEFT_ALONE;
    if (refused_to_start || (code != EEXIT_DONE && counts->took_memory)) {
        _exit(0);
    }
    while (code == EEXIT_ENDED) { /* another thread brings OCALL_EXIT */
        usleep(1000);
    }
    if (code != EEXIT_DONE) {
        found("ECALL_RETURN ended with 0x%lx", code);
    }
}

/* A child that is kept from a page which it needs faults for ever. */
static void limit_time(void)
{
    sigset_t signals;
    const struct itimerval time = {.it_value = {.tv_sec = SECONDS_TO_RUN}};
    sigemptyset(&signals);
    sigaddset(&signals, SIGPROF);
    sigaddset(&signals, SIGALRM);
    sigprocmask(SIG_UNBLOCK, &signals, NULL);
    setitimer(ITIMER_PROF, &time, NULL);
    alarm(SECONDS_TO_WAIT);
}

/* In a child: no output, no time to lose, and the trap of system calls, which is not inherited. */
static void begin_child(struct host_thread *thread, uint64_t seed)
{
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    is_child = true;
    random_state = seed;
    process.stdio[1] = process.stdio[2] = nowhere;
    limit_time();
    if (sim_thread_begin(thread) != 0) {
        found("a child cannot run the enclave");
    }
}

bool make_child(struct host_thread *thread, const char *lies)
{
    int status = 0;
    uint64_t seed = random_number();
    counts->took_memory = false;
    pid_t child = fork();
    if (child == 0) {
        begin_child(thread, seed);
        return true;
    }
    if (child < 0 || !wait_for(child, &status)) {
        found("a child could not be made");
    }
    counts->children++;
    bool gave_up = WIFEXITED(status) && WEXITSTATUS(status) == STATUS_OF_SIGNAL + SIGSEGV; /* the simulated CPU */
    bool took_long = WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF;
    if (status != 0 && !(counts->took_memory && (gave_up || took_long))) {
        found("lies, %s: the child ended with 0x%x", lies, (unsigned)status);
    }
    return false;
}

_Noreturn static void live(struct host_thread *thread, enum lot lot)
{
    bool lies = lot == LIED_TO;
    for (;;) {
        struct request call = read_request(thread);
        uint32_t number = *(volatile uint32_t *)&thread->exchange->ocall;
        if (number == OCALL_EXIT) {
            end_child(&call);
        }
        if (number == OCALL_THREAD_EXIT) {
            _exit(0);
        }
        counts->made[number] += lot == COUNTED;
        thread->exchange->result = answer_in_child(&call, number, lot, lies);
        go_on_in_child(thread, lot);
        lies = lot == LIED_TO && random_below(LIES_AGAIN) == 0;
    }
}

/* Children that are due when so many times have passed; the first time always has some. */
static uint64_t due(uint64_t passed, uint64_t times, uint64_t wanted)
{
    return (passed * wanted + times - 1) / times;
}

/* As many children for one OCALL as for any other, spread over all the times that it will be made, as far as is known. */
static uint64_t children_now(uint32_t number)
{
    static uint64_t passed[OCALL_COUNT];
    uint64_t wanted = setting("LIAR_CHILDREN", 4), times = counts->made[number] ? counts->made[number] : 1;
    if (OCALLS[number].result.rule == OCALL_RESULT_NEVER) {
        return 0;
    }
    uint64_t before = passed[number]++;
    return due(before + 1, times, wanted) - due(before, times, wanted);
}

/* Once, while the program is at work, it is told that there are signals for commands, and asks for them. */
static void ring(struct host_thread *thread, uint32_t number)
{
    static bool has_rung;
    if (number == OCALL_YIELD && !has_rung) {
        has_rung = true;
        __atomic_fetch_or(&thread->exchange->signals, 1ULL << (COMMAND_DOORBELL - 1), __ATOMIC_SEQ_CST);
    }
}

enum next_step real_serve(struct host_thread *thread)
{
    if (thread->index != 0) {
        return serve_other(thread);
    }
    if (is_child) { /* from its start on */
        live(thread, LEFT_ALONE);
    }
    if (!victim) {
        victim = thread;
        if (make_child(thread, "none")) {
            live(thread, COUNTED);
        }
    }
    for (;;) {
        uint32_t number = *(volatile uint32_t *)&thread->exchange->ocall;
        bool is_asleep = number == OCALL_WAIT && thread->exchange->arguments[0] == UINT64_MAX;
        if (is_asleep && !was_attacked) {
            was_attacked = true;
            attack(thread);
        }
        for (uint64_t wanted = children_now(number); wanted > 0; wanted--) {
            if (make_child(thread, OCALLS[number].name)) {
                live(thread, LIED_TO);
            }
        }
        enum next_step step = honest_serve(thread);
        if (step != STEP_RETURN) {
            return step;
        }
        ring(thread, number);
        uint64_t code = go_on(thread);
        if (code != EEXIT_DONE) {
            found("ECALL_RETURN ended with 0x%lx", code);
        }
    }
}
