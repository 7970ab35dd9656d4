/*
 * The PAL API (pal.h) for Gramine: an enclave of its own makes and runs Gramine's loader; this PAL checks the instance, starts the
 * loader as a child, passes signals on and reports how it ended. In simulation that is Gramine's direct mode, which has no enclave.
 */
#define _GNU_SOURCE
#include "pal.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "instance.h"
#include "loader.h"
#include "log.h"
#include "options.h"
#include "words.h"

#define EXPORT __attribute__((visibility("default")))
#define BANNER                                                                                                             \
    "enclavize: SIMULATION: Gramine's direct mode protects NOTHING; the host can read and change everything in it\n"

static enum { STATE_NEW, STATE_READY, STATE_CREATED, STATE_RUNNING, STATE_ENDED } state;
static pthread_mutex_t state_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct instance instance;
static int process_number;

static bool change_state(int from, int to)
{
    pthread_mutex_lock(&state_mutex);
    bool matches = (int)state == from;
    if (matches)
        state = to;
    pthread_mutex_unlock(&state_mutex);
    return matches;
}

static int current_state(void)
{
    pthread_mutex_lock(&state_mutex);
    int found = state;
    pthread_mutex_unlock(&state_mutex);
    return found;
}

/* Nobody can start or signal the child any more. False if it runs. */
static bool end_unless_running(void)
{
    pthread_mutex_lock(&state_mutex);
    bool running = state == STATE_RUNNING;
    if (!running)
        state = STATE_ENDED;
    pthread_mutex_unlock(&state_mutex);
    return !running;
}

static int initialise(const struct pal_attr_t *attr)
{
    struct options options;
    if (!attr || attr->fd > 0 || attr->addr != 0)
        return fail(-EINVAL, "an enclave from a pool manager cannot be used");
    if (log_set_level(attr->log_level) != 0)
        return fail(-EINVAL, "log level '%s' is not known", attr->log_level);
    int error = options_parse(&options, attr->args);
    if (error)
        return error;
    if (strcmp(options.root, "/") != 0)
        return fail(-EINVAL, "root=%s: Gramine's files are those of the container's own root", options.root);
    if (options.layers[0])
        return fail(-EINVAL, "layers=%s: Gramine opens files by their names", options.layers);
    if (options.boot_flags)
        return fail(-EINVAL, "trace and profile: Gramine has its own (--log-level trace, sgx.profile)");
    if (options.trap_enclu)
        return fail(-EINVAL, "enclu: strict simulation is of the builtin LibOS alone");
    error = instance_open(&instance, &options);
    if (!error && instance.direct) {
        ssize_t written = write(STDERR_FILENO, BANNER, sizeof(BANNER) - 1);
        (void)written; /* there is nowhere else to say it */
    }
    return error;
}

EXPORT int pal_get_version(void)
{
    return PAL_API_VERSION;
}

EXPORT int pal_init(const struct pal_attr_t *attr)
{
    log_forget_failure();
    if (!change_state(STATE_NEW, STATE_READY))
        return fail(-EEXIST, "the PAL has been initialised already");
    int error = initialise(attr);
    if (error)
        change_state(STATE_READY, STATE_NEW);
    return error;
}

EXPORT int pal_create_process(struct pal_create_process_args *args)
{
    static const struct pal_stdio_fds standard = {0, 1, 2};
    struct words words;
    log_forget_failure();
    if (!args || !args->pid || !args->argv)
        return fail(-EINVAL, "pal_create_process: an argument is missing");
    if (!change_state(STATE_READY, STATE_CREATED))
        return current_state() == STATE_NEW ? fail(-ESRCH, "the PAL has not been initialised")
                                  : fail(-ENOSYS, "a second command in a Gramine enclave is not supported");
    int pid = words_make(&words, &instance, args->argv, args->env);
    if (!pid)
        pid = loader_create(&words, args->stdio ? args->stdio : &standard);
    words_free(&words); /* the child has its own */
    if (pid < 0) {
        change_state(STATE_CREATED, STATE_READY);
        return pid;
    }
    *args->pid = process_number = pid;
    return 0;
}

EXPORT int pal_exec(struct pal_exec_args *args)
{
    log_forget_failure();
    if (!args || !args->exit_value)
        return fail(-EINVAL, "pal_exec: an argument is missing");
    if (args->pid != process_number || !change_state(STATE_CREATED, STATE_RUNNING))
        return fail(-ESRCH, "there is no process %d to run", args->pid);
    int error = loader_run(args->exit_value);
    change_state(STATE_RUNNING, STATE_ENDED);
    return error;
}

EXPORT int pal_kill(int pid, int sig)
{
    sig &= ~PAL_FROM_TERMINAL; /* the group in the foreground is not known here */
    if (sig < 1 || sig > 64)
        return fail(-EINVAL, "signal %d does not exist", sig);
    int now = current_state();
    if ((now != STATE_CREATED && now != STATE_RUNNING) || (pid != process_number && pid != 0 && pid != -1))
        return fail(-ESRCH, "there is no process %d", pid);
    loader_signal(sig);
    return 0;
}

EXPORT int pal_destroy(void)
{
    log_forget_failure();
    if (!end_unless_running())
        return fail(-EBUSY, "the enclave is running");
    loader_destroy();
    change_state(STATE_ENDED, STATE_NEW);
    return 0;
}

EXPORT int pal_get_local_report(void *targetinfo, int targetinfo_len, void *report, int *report_len)
{
    (void)targetinfo;
    (void)targetinfo_len;
    (void)report;
    (void)report_len;
    log_forget_failure();
    return fail(-ENOSYS, "reports of a Gramine enclave are not supported: the program has /dev/attestation inside");
}

EXPORT const char *pal_builtin_error(void)
{
    return log_last_failure();
}
