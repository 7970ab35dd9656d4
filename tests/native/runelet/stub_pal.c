/*
 * A PAL without an enclave, to test the runelet alone. The application's first argument says what happens:
 *   show        print pal_init's words, the arguments and the environment
 *   exit N      end with N
 *   wait        print "ready", then end with 128 + n at the first signal n that would end a program; print all others
 *   slow        like wait, but pal_init takes a while
 * Commands do the same on their own standard output, and `health` if they have no arguments: they end with 42.
 * A report is the first bytes of the TARGETINFO, then letters R; there is none for one that begins with X, and a short one where it begins with S.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pal.h"

#define PROCESSES 64

struct process {
    char **arguments, **environment;
    FILE *output;
    sem_t offered;
    _Atomic unsigned long pending; /* bit (n - 1) for signal n, as in struct exchange */
    atomic_bool from_terminal;
};

static struct process processes[PROCESSES + 1]; /* by number, the first is 1 */
static atomic_int process_count;
static char words[16384], level[32];
static const char *reason = "";

int pal_get_version(void)
{
    return PAL_API_VERSION;
}

const char *pal_builtin_error(void)
{
    return reason;
}

int pal_init(const struct pal_attr_t *attr)
{
    snprintf(words, sizeof(words), "%s", attr->args);
    snprintf(level, sizeof(level), "%s", attr->log_level);
    if (strstr(words, "instance=/refused")) {
        reason = "enclave.signed.so: refused";
        return -ENOEXEC;
    }
    if (strstr(words, "instance=/slow"))
        usleep(2000000);
    return 0;
}

static char **copy(char **strings)
{
    size_t count = 0;
    while (strings[count])
        count++;
    char **copies = calloc(count + 1, sizeof(*copies));
    for (size_t i = 0; i < count; i++)
        copies[i] = strdup(strings[i]);
    return copies;
}

/* The number of the first one is that of no child. */
int pal_create_process(struct pal_create_process_args *args)
{
    int number = atomic_fetch_add(&process_count, 1) + 1;
    if (number > PROCESSES) {
        reason = "no room";
        return -EAGAIN;
    }
    struct process *process = &processes[number];
    process->arguments = copy(args->argv);
    process->environment = copy(args->env);
    process->output = args->stdio ? fdopen(dup(args->stdio->out), "w") : stdout;
    *args->pid = number;
    return sem_init(&process->offered, 0, 0);
}

int pal_kill(int pid, int sig)
{
    struct process *process = &processes[pid < 0 ? 1 : pid];
    atomic_store(&process->from_terminal, (sig & PAL_FROM_TERMINAL) != 0);
    atomic_fetch_or(&process->pending, 1UL << ((sig & ~PAL_FROM_TERMINAL) - 1));
    return sem_post(&process->offered);
}

int pal_get_local_report(void *targetinfo, int targetinfo_len, void *report, int *report_len)
{
    const char *target = targetinfo;
    reason = "";
    if (targetinfo_len != PAL_TARGETINFO_SIZE || *report_len < PAL_REPORT_SIZE || (unsigned long)targetinfo % 512)
        return -EINVAL;
    if (target[0] == 'X') {
        reason = "this PAL has no reports";
        return -ENOSYS;
    }
    memset(report, 'R', PAL_REPORT_SIZE);
    memcpy(report, target, 32);
    *report_len = target[0] == 'S' ? PAL_REPORT_SIZE - 1 : PAL_REPORT_SIZE;
    return 0;
}

static int wait_for_signals(struct process *process)
{
    fprintf(process->output, "ready\n");
    fflush(process->output);
    for (;;) {
        while (sem_wait(&process->offered) != 0)
            ;
        unsigned long arrived = atomic_exchange(&process->pending, 0);
        for (int number = 1; arrived; number++, arrived >>= 1) {
            if (!(arrived & 1))
                continue;
            if (number != SIGWINCH && number != SIGCONT)
                return 128 + number;
            fprintf(process->output, "signal %d%s\n", number, atomic_load(&process->from_terminal) ? " of the terminal" : "");
            fflush(process->output);
        }
    }
}

static int act(struct process *process)
{
    char **arguments = process->arguments;
    const char *action = arguments[0] ? arguments[0] : "health";
    if (strcmp(action, "show") == 0) {
        fprintf(process->output, "words %s\nlevel %s\n", words, level);
        for (char **argument = arguments; *argument; argument++)
            fprintf(process->output, "argument %s\n", *argument);
        for (char **variable = process->environment; *variable; variable++)
            fprintf(process->output, "environment %s\n", *variable);
    } else if (strcmp(action, "exit") == 0) {
        return atoi(arguments[1]);
    } else if (strcmp(action, "wait") == 0) {
        return wait_for_signals(process);
    } else if (strcmp(action, "health") == 0 && process != &processes[1]) {
        return 42;
    }
    return 0;
}

int pal_exec(struct pal_exec_args *args)
{
    if (args->pid < 1 || args->pid > PROCESSES || !processes[args->pid].arguments)
        return -ESRCH;
    struct process *process = &processes[args->pid];
    *args->exit_value = act(process);
    fflush(process->output);
    if (process->output != stdout)
        fclose(process->output);
    return 0;
}
