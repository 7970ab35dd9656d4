/*
 * The runelet for PALs of others (docs/pal.md): PID 1 of the container, started by rune with a loader and libraries that this machine lists. It loads
 * the PAL, boots the enclave, runs the program in it and ends with the program's exit code. Nothing that a PAL returns is believed further than the PAL
 * API goes: it may be wrong, crash, hang, or end the process.
 *
 * Exit codes are those of `docker run`: 125 if the enclave does not start or the program's end is not known, 128 + n after signal n.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "attest.h"
#include "calls.h"
#include "ending.h"
#include "exit_status.h"
#include "library.h"
#include "message.h"
#include "options.h"
#include "signals.h"
#include "status.h"

#define PROCESS_NAME "init-runelet" /* as Inclavare's, by which its users know it */
#define DESTROY_SECONDS 5

static struct options options;
static struct library library;

/* Occlum returns -1 and sets errno. A positive value is in no version of the API. */
static bool failed(const char *call, int result, int told)
{
    if (result == 0)
        return false;
    if (result > 0)
        fatal("%s of the PAL has returned %d, which means nothing", call, result);
    else if (result == -1)
        fatal("%s of the PAL has failed: -1 (errno: %s)", call, told ? strerror(told) : "not set");
    else
        fatal("%s of the PAL has failed: %d (%s)", call, result, strerror(-result));
    return true;
}

/* Whether a call into the PAL fails, which is then told. */
#define FAILED(name, call)                    \
    __extension__({                           \
        errno = 0;                            \
        int failed_result = CALL(name, call); \
        failed(name, failed_result, errno);   \
    })

static bool boot(void)
{
    const struct pal_attr_t attributes = {.args = options.pal_args, .log_level = options.log_level, .fd = -1};
    return open_library(options.pal, &library) && all_code_is_from(options.libraries) && !FAILED("pal_init", library.init(&attributes));
}

static void destroy(int code)
{
    stop_attestation();
    end_within(DESTROY_SECONDS, code);
    int error = CALL("pal_destroy", library.destroy());
    if (error)
        warning_message("pal_destroy of the PAL has failed: %d", error);
}

static _Noreturn void destroy_and_end(int code)
{
    destroy(code);
    end(code);
}

static bool run_v1(struct pal_stdio_fds *stdio, int *exit_value)
{
    tell_running();
    forward_signals(0);
    return !FAILED("pal_exec", library.exec_v1(options.program[0], options.program, stdio, exit_value));
}

static bool run_v2(char **environment, struct pal_stdio_fds *stdio, int *exit_value)
{
    int pid = -1;
    struct pal_create_process_args process = {options.program[0], options.program, environment, stdio, &pid};
    if (FAILED("pal_create_process", library.create_process(&process)))
        return false;
    if (pid <= 0) {
        fatal("pal_create_process of the PAL says that it has made a process, and not which");
        return false;
    }
    tell_running();
    forward_signals(pid);
    struct pal_exec_args execution = {pid, exit_value};
    return !FAILED("pal_exec", library.exec(&execution));
}

static int run(char **environment)
{
    int exit_value = EXIT_UNTOLD;
    struct pal_stdio_fds stdio = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
    if (!(library.version == 1 ? run_v1(&stdio, &exit_value) : run_v2(environment, &stdio, &exit_value)))
        return EXIT_NOT_STARTED;
    int code = exit_code_of(options.exit_form, exit_value);
    if (code >= 0)
        return code;
    if (exit_value == EXIT_UNTOLD)
        fatal("the PAL does not say how the program has ended");
    else
        fatal("the PAL says that the program has ended with %d, which is no %s", exit_value,
              options.exit_form == EXIT_CODE ? "exit code" : "status of wait(2)");
    return EXIT_NOT_STARTED;
}

static bool ends_programs(int number)
{
    return number == SIGTERM || number == SIGINT || number == SIGQUIT || number == SIGHUP;
}

/* signals.c passes on what it receives. What asks a program to end becomes SIGTERM for a PAL that takes no more than that. */
int pal_kill(int pid, int number)
{
    (void)pid; /* the program, with all that it has started */
    if (!sigismember(&options.signals, number) && ends_programs(number))
        number = SIGTERM;
    if (library.kill && sigismember(&options.signals, number)) {
        int result = CALL("pal_kill", library.kill(-1, number));
        if (result)
            warning_message("pal_kill of the PAL has not taken signal %d: %d", number, result);
        return result;
    }
    if (ends_programs(number)) {
        destroy(128 + number);
        _exit(128 + number); /* the program's thread may be writing: what it has in buffers goes with it, as after any signal */
    }
    return 0;
}

/* Those alone: a PAL uses others for its own threads, which inherit what is blocked here. */
static sigset_t received(void)
{
    sigset_t signals = options.signals;
    sigdelset(&signals, SIGKILL);
    for (int number = 1; number < 32; number++) {
        if (ends_programs(number))
            sigaddset(&signals, number);
    }
    return signals;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "exec") == 0) {
        error_message("a second command in an enclave of another PAL is not supported");
        return EXIT_NOT_ALLOWED;
    }
    if (!read_options(argc, argv, &options))
        return EXIT_NOT_STARTED;
    char **environment = program_environment(environ);
    sigset_t signals = received();
    prctl(PR_SET_NAME, PROCESS_NAME);
    open_status(options.run);
    bind_attestation(options.run);
    if (!environment || !start_signal_thread_for(&signals) || !watch_for_ends())
        _exit(EXIT_NOT_STARTED);
    if (!boot())
        end(EXIT_NOT_STARTED);
    if (!all_code_is_from(options.libraries))
        destroy_and_end(EXIT_NOT_STARTED);
    start_attestation(&library);
    destroy_and_end(run(environment));
}
