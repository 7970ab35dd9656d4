/*
 * A PAL without an enclave, to test the runelet alone. The application's first argument says what happens:
 *   show        print pal_init's words, the arguments and the environment
 *   exit N      end with N
 *   wait        print "ready", then end with 128 + n at the first signal n that would end a program; print all others
 *   slow        like wait, but pal_init takes a while
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

static char **arguments, **environment;
static char words[16384], level[32];
static const char *reason = "";
static sem_t offered;
static _Atomic unsigned long pending; /* bit (n - 1) for signal n, as in struct exchange */

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
    return sem_init(&offered, 0, 0);
}

int pal_create_process(struct pal_create_process_args *args)
{
    arguments = args->argv;
    environment = args->env;
    *args->pid = 1; /* that of no child */
    return 0;
}

int pal_kill(int pid, int sig)
{
    if (pid != -1)
        return -EINVAL;
    atomic_fetch_or(&pending, 1UL << (sig - 1));
    return sem_post(&offered);
}

static int wait_for_signals(void)
{
    puts("ready");
    fflush(stdout);
    for (;;) {
        while (sem_wait(&offered) != 0)
            ;
        unsigned long arrived = atomic_exchange(&pending, 0);
        for (int number = 1; arrived; number++, arrived >>= 1) {
            if (!(arrived & 1))
                continue;
            if (number != SIGWINCH && number != SIGCONT)
                return 128 + number;
            printf("signal %d\n", number);
            fflush(stdout);
        }
    }
}

int pal_exec(struct pal_exec_args *args)
{
    const char *action = arguments[0] ? arguments[0] : "";
    *args->exit_value = 0;
    if (args->pid != 1)
        return -ESRCH;
    if (strcmp(action, "show") == 0) {
        printf("words %s\nlevel %s\n", words, level);
        for (char **argument = arguments; *argument; argument++)
            printf("argument %s\n", *argument);
        for (char **variable = environment; *variable; variable++)
            printf("environment %s\n", *variable);
        fflush(stdout);
    } else if (strcmp(action, "exit") == 0) {
        *args->exit_value = atoi(arguments[1]);
    } else if (strcmp(action, "wait") == 0) {
        *args->exit_value = wait_for_signals();
    }
    return 0;
}
