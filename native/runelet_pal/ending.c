#define _GNU_SOURCE
#include "ending.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "calls.h"
#include "message.h"
#include "status.h"

#define REASON_SIZE 2048
#define SIGNAL_STACK_SIZE 65536

__thread const char *current_call;

static pid_t own_pid; /* children that a PAL makes may end as they like */
static atomic_int code_after_time;

void fatal(const char *format, ...)
{
    char reason[REASON_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    error_message("%s", reason);
    tell_failure(reason);
}

static const char *place(void)
{
    return current_call ? current_call : "a thread of its own";
}

/* In a signal handler: nothing but system calls. */
static void append(char *line, size_t size, const char *text)
{
    size_t used = strlen(line), length = strlen(text);
    if (length > size - 1 - used)
        length = size - 1 - used;
    memcpy(line + used, text, length);
    line[used + length] = 0;
}

static void on_fault(int number)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {{SIGSEGV, "SIGSEGV"}, {SIGBUS, "SIGBUS"}, {SIGILL, "SIGILL"}, {SIGFPE, "SIGFPE"}, {SIGABRT, "SIGABRT"}};
    char reason[256] = "the PAL has crashed in ";
    if (getpid() != own_pid)
        _exit(128 + number);
    append(reason, sizeof(reason), place());
    append(reason, sizeof(reason), ": ");
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (names[i].number == number)
            append(reason, sizeof(reason), names[i].name);
    }
    tell_failure(reason);
    char line[sizeof(reason) + 32] = "enclavize: error: ";
    append(line, sizeof(line), reason);
    append(line, sizeof(line), "\n");
    ssize_t written = write(STDERR_FILENO, line, strlen(line));
    (void)written; /* there is nowhere else to say it */
    _exit(128 + number);
}

static void on_exit_call(void)
{
    if (getpid() != own_pid)
        return;
    fatal("the PAL has ended the process in %s, instead of returning", place());
    end(EXIT_NOT_STARTED);
}

bool watch_for_ends(void)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    static char memory[SIGNAL_STACK_SIZE];
    const stack_t stack = {.ss_sp = memory, .ss_size = sizeof(memory)};
    struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK};
    own_pid = getpid();
    sigaltstack(&stack, NULL); /* of this thread: what overflows the stack of another one ends by the kernel */
    for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++)
        sigaction(faults[i], &action, NULL);
    return atexit(on_exit_call) == 0;
}

void end(int code)
{
    end_within(1, code); /* a lock of the C library may be held by a thread that the PAL has lost */
    fflush(NULL);
    _exit(code);
}

static void *end_after_time(void *seconds)
{
    sleep((unsigned)(size_t)seconds);
    _exit(atomic_load(&code_after_time));
}

void end_within(unsigned seconds, int code)
{
    pthread_t thread;
    atomic_store(&code_after_time, code);
    if (pthread_create(&thread, NULL, end_after_time, (void *)(size_t)seconds) == 0)
        pthread_detach(thread);
}
