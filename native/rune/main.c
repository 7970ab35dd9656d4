/*
 * rune: an OCI runtime with runc's command line. An ordinary bundle is runc's affair: this front end decides and becomes runc.
 * Creating a TEE container needs checks and a changed config.json: the Python part, enclavize-rune, decides that in a plan, once for what
 * is alike.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attest.h"
#include "bundle.h"
#include "command_line.h"
#include "container.h"
#include "events.h"
#include "exec.h"
#include "json.h"
#include "node.h"
#include "pal_run.h"
#include "program.h"
#include "python_part.h"
#include "report.h"
#include "request.h"
#include "settings.h"
#include "start.h"
#include "tee.h"
#include "update.h"
#include "version.h"


#define ORDINARY_SWITCH "--ordinary" /* enclavize/rune/__main__.py */
#define SIMULATE_VARIABLE "ENCLAVIZE_SIMULATE"

#define EXIT_FAILED 1
#define EXIT_EXEC_FAILED 255 /* runc exec, for its own errors: it must not look like the program's */

static int become_runc(const struct command_line *line, char **argv)
{
    char path[PATH_MAX], message[PATH_MAX + 64];
    if (!find_runc(path)) {
        report_error(line, "runc is not installed (looked in " SAFE_PATH "); install it: apt-get install runc");
        return EXIT_FAILED;
    }
    execv(path, argv);
    snprintf(message, sizeof(message), "cannot run %s: %s", path, strerror(errno));
    report_error(line, message);
    return EXIT_FAILED;
}

static int failure_of(const struct command_line *line)
{
    return line->command && strcmp(line->command, "exec") == 0 ? EXIT_EXEC_FAILED : EXIT_FAILED;
}

static int cannot_tell(const struct command_line *line, struct verdict verdict)
{
    char message[512];
    snprintf(message, sizeof(message), "cannot read %s%s%s; whether this is a TEE container cannot be told, so it is refused",
             verdict.reason, verdict.error ? ": " : "", verdict.error ? strerror(verdict.error) : "");
    report_error(line, message);
    return failure_of(line);
}

/* The line may mean another container or bundle to runc than to rune. */
static int is_unclear(const struct command_line *line)
{
    char message[512];
    const char *form = line->parent ? "rune is not of the version of enclavize, whose option %.100s it does not know; reinstall enclavize, or "
                                      "run 'make native' in a checkout"
                                    : "cannot tell how runc reads the option %.100s and what follows it; an option with a value can be "
                                      "written as --NAME=VALUE";
    snprintf(message, sizeof(message), form, line->unclear);
    report_error(line, message);
    return failure_of(line);
}

/* The node's daemon brings the enclave, and the bundle is a TEE image's from then on. */
static int create_converted(const struct command_line *line, char **argv)
{
    char tree[PATH_MAX];
    return ask_node(line, tree) && prepare_tee_bundle(line, argv, tree) ? become_runc(line, argv) : EXIT_FAILED;
}

/* What the Python part says about ordinary containers: "run" or "convert"; false: it has refused this one. */
static bool judge_ordinary(const struct command_line *line, char **argv, bool *converted)
{
    char path[PATH_MAX], word[16];
    struct json answer, value;
    *converted = settings_about_ordinary() == ORDINARY_CONVERT;
    if (*converted || !settings_may_judge_ordinary())
        return true;
    if (!find_python_part(line, path) || !ask_python_part(line, path, ORDINARY_SWITCH, argv, &answer))
        return false;
    if (json_key(answer, "ordinary", &value) == JSON_FOUND && json_string(value, word, sizeof(word))) {
        *converted = strcmp(word, "convert") == 0;
        if (*converted || strcmp(word, "run") == 0)
            return true;
    }
    report_error(line, "enclavize-rune is not of the version of rune");
    return false;
}

static int create_ordinary(const struct command_line *line, char **argv)
{
    char name[REQUEST_SIZE], message[REQUEST_SIZE + 256];
    bool converted = false;
    enum request request = bundle_request(line->bundle, name);
    if (request == REQUEST_SANDBOX)
        return become_runc(line, argv);
    if (request == REQUEST_UNKNOWN)
        return cannot_tell(line, VERDICT_UNKNOWN("config.json of the bundle", EINVAL));
    if (!judge_ordinary(line, argv, &converted))
        return EXIT_FAILED;
    if (converted)
        return create_converted(line, argv);
    if (request == REQUEST_NONE)
        return become_runc(line, argv);
    snprintf(message, sizeof(message), "this container asks for an enclave (%s), and its image is not a TEE image, so it would run without one; "
                                       "convert it: enclavize build IMAGE -t TEE_IMAGE", name);
    report_error(line, message);
    return EXIT_FAILED;
}

static int create(const struct command_line *line, char **argv)
{
    struct verdict verdict = bundle_kind(line->bundle);
    switch (verdict.kind) {
    case KIND_ORDINARY:
        return create_ordinary(line, argv);
    case KIND_TEE:
        return prepare_tee_bundle(line, argv, NULL) ? become_runc(line, argv) : EXIT_FAILED;
    case KIND_UNKNOWN:
        break;
    }
    return cannot_tell(line, verdict);
}

static int refuse_if_tee(const struct command_line *line, char **argv, struct verdict verdict, const char *message)
{
    switch (verdict.kind) {
    case KIND_ORDINARY:
        return become_runc(line, argv);
    case KIND_TEE:
        report_error(line, message);
        return failure_of(line);
    case KIND_UNKNOWN:
        break;
    }
    return cannot_tell(line, verdict);
}

/* runc's answer comes first. A container whose kind cannot be told is runc's to start: it was judged when it was created. */
static int start(const struct command_line *line, char **argv)
{
    int status = 0;
    struct started started = {0};
    if (container_kind(line).kind != KIND_TEE || !begin_start(line, &started))
        return become_runc(line, argv);
    pid_t child = fork();
    if (child == 0)
        _exit(become_runc(line, argv));
    if (child < 0 || waitpid(child, &status, 0) != child)
        return EXIT_FAILED;
    if (status != 0)
        return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
    return enclave_runs(line, &started) ? 0 : EXIT_FAILED;
}

static bool has_foreign_pal(const struct command_line *line)
{
    struct container_place place;
    int folder = find_container(line, &place) ? open_pal_run(&place) : -1;
    if (folder >= 0)
        close(folder);
    return folder >= 0;
}

static int exec_into_container(const struct command_line *line, char **argv)
{
    const char *reason;
    char message[256], **changed;
    struct verdict verdict = container_kind(line);
    switch (verdict.kind) {
    case KIND_ORDINARY:
        return become_runc(line, argv);
    case KIND_TEE:
        if (has_foreign_pal(line)) {
            report_error(line, "no command can be run in this TEE container: its PAL is not rune's own, and takes the program alone");
            return failure_of(line);
        }
        changed = enclave_exec(line, argv, &reason);
        if (changed)
            return become_runc(line, changed);
        snprintf(message, sizeof(message), "cannot understand %s, so no command is run in the TEE container", reason);
        report_error(line, message);
        return failure_of(line);
    case KIND_UNKNOWN:
        break;
    }
    return cannot_tell(line, verdict);
}

/* runc's own, where there is nothing to add. */
static int events(const struct command_line *line, char **argv)
{
    int ends[2], status = 0;
    struct container_place place;
    if (!finds_epc(line, &place) || pipe2(ends, O_CLOEXEC) != 0)
        return become_runc(line, argv);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() == parent && dup2(ends[1], STDOUT_FILENO) == STDOUT_FILENO)
            become_runc(line, argv);
        _exit(EXIT_FAILED);
    }
    close(ends[1]);
    FILE *in = fdopen(ends[0], "r");
    if (child < 0 || !in)
        return EXIT_FAILED;
    copy_events(&place, in);
    if (waitpid(child, &status, 0) != child)
        return EXIT_FAILED;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
}

static int update(const struct command_line *line, char **argv)
{
    char **changed = line->epc_limit ? epc_update(line, argv) : argv;
    return changed ? become_runc(line, changed) : EXIT_FAILED;
}

static int version(const struct command_line *line, char **argv)
{
    pid_t child = fork();
    if (child == 0)
        _exit(become_runc(line, argv));
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        return EXIT_FAILED;
    printf("rune: " VERSION "\n");
    return 0;
}

/* The kernel ends runc with its parent, and an exec in between changes nothing (PR_SET_PDEATHSIG(2const)). */
static bool end_with_parent(const char *parent)
{
    char now[16];
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0)
        return false;
    snprintf(now, sizeof(now), "%ld", (long)getppid()); /* it may have ended before that */
    return strcmp(parent, now) == 0;
}

int main(int argc, char **argv)
{
    const struct command_line line = parse_command_line(argc, argv);
    const char *command = line.command ? line.command : "";
    if (line.unclear)
        return is_unclear(&line);
    if (line.simulate)
        setenv(SIMULATE_VARIABLE, "1", 1);
    if (line.config)
        setenv(CONFIG_VARIABLE, line.config, 1);
    if (is_judged(command))
        open_log(&line);
    if (line.parent && !end_with_parent(line.parent)) {
        report_error(&line, "the process of --parent has ended");
        return failure_of(&line);
    }
    if (line.version)
        return version(&line, argv);
    if (strcmp(command, "create") == 0 || strcmp(command, "run") == 0)
        return create(&line, argv);
    if (strcmp(command, "start") == 0)
        return start(&line, argv);
    if (strcmp(command, "attest") == 0)
        return attest(&line);
    if (strcmp(command, "exec") == 0)
        return exec_into_container(&line, argv);
    if (strcmp(command, "checkpoint") == 0)
        return refuse_if_tee(&line, argv, container_kind(&line), "a TEE container cannot be checkpointed: an enclave's memory stays inside");
    if (strcmp(command, "restore") == 0)
        return refuse_if_tee(&line, argv, bundle_kind(line.bundle), "a TEE container cannot be restored: an enclave's memory stays inside");
    if (strcmp(command, "events") == 0)
        return events(&line, argv);
    if (strcmp(command, "update") == 0)
        return update(&line, argv);
    return become_runc(&line, argv);
}
