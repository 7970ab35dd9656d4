/*
 * runelet: the entrypoint of TEE images, PID 1 of a TEE container. It loads the enclave through the PAL linked into it, hands over
 * arguments, environment and standard streams (the enclave applies its measured policy), passes signals on, and ends with the
 * application's exit code. As `runelet exec` it asks the container's runelet for a command in the enclave.
 *
 * Exit codes are those of `docker run`: 125 if the enclave does not start, 126 if a command may not run, 128 + n after signal n.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "exec.h"
#include "exit_codes.h"
#include "ignored.h"
#include "message.h"
#include "mounts.h"
#include "options.h"
#include "pal.h"
#include "signals.h"

#define HEALTH_CHECK "--health"
#define REPORT "--report"
#define COMMAND "--"

/*
 * `runelet exec --health` is the image's health check, `runelet exec --report` a report of the running enclave, `runelet exec -- ARGV` a command in
 * it.
 */
static bool is_exec(int argc, char **argv)
{
    if (argc < 3 || strcmp(argv[1], "exec") != 0)
        return false;
    return strcmp(argv[2], COMMAND) == 0 || (argc == 3 && (strcmp(argv[2], HEALTH_CHECK) == 0 || strcmp(argv[2], REPORT) == 0));
}

static int pal_failure(const char *step, int error)
{
    const char *reason = pal_builtin_error();
    if (!reason || !*reason)
        error_message("%s: %s", step, strerror(error < 0 ? -error : error));
    else if (error == -ENODEV)
        error_message("%s; the runelet is asked by ENCLAVIZE_SIMULATE=1", reason);
    else
        error_message("%s", reason);
    return EXIT_NOT_STARTED;
}

/* `arguments` are the application's: what it is called by is measured, not chosen by the host. */
static int run(const struct options *options, char **arguments, char **environment)
{
    int pid, exit_value = EXIT_NOT_STARTED;
    const struct pal_attr_t attributes = {
        .args = options->pal_arguments,
        .log_level = options->log_level,
        .fd = -1,
    };
    struct pal_create_process_args process = {.path = "runelet", .argv = arguments, .env = environment, .pid = &pid};
    int error = pal_init(&attributes);
    if (error)
        return pal_failure("the enclave cannot be loaded", error);
    error = pal_create_process(&process);
    if (error)
        return pal_failure("the enclave takes no process", error);
    mark_signals_of_terminal(PAL_FROM_TERMINAL);
    forward_signals(pid);
    serve_commands();
    struct pal_exec_args execution = {.pid = pid, .exit_value = &exit_value};
    error = pal_exec(&execution);
    if (error)
        return pal_failure("the enclave cannot be run", error);
    return exit_value;
}

/* Behind `exec --` must be something: no arguments at all stand for the health check. */
static int exec_main(int argc, char **argv)
{
    if (strcmp(argv[2], REPORT) == 0)
        return exec_report();
    if (strcmp(argv[2], COMMAND) == 0 && argc == 3) {
        error_message("exec: a command is missing");
        return EXIT_NOT_ALLOWED;
    }
    drop_options(environ); /* they are for the container */
    return exec_command(argv + 3, environ);
}

int main(int argc, char **argv)
{
    static struct options options;
    if (is_exec(argc, argv))
        return exec_main(argc, argv);
    if (!take_options(environ, &options) || !start_signal_thread())
        return EXIT_NOT_STARTED;
    offer_commands();
    warn_of_ignored_mounts(options.root, options.instance);
    warn_of_ignored_settings(environ, options.instance, says_info(&options));
    return run(&options, argc > 0 ? argv + 1 : argv, environ);
}
