/*
 * rune: an OCI runtime with runc's command line. An ordinary bundle is runc's affair: this front end decides and becomes runc.
 * Creating a TEE container needs checks and a changed config.json: that is the Python part, enclavize-rune, which becomes runc, too.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bundle.h"
#include "command_line.h"
#include "report.h"

#define VERSION "0.1.0" /* enclavize/__init__.py */
#define SAFE_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define PYTHON_PART "enclavize-rune"

#define EXIT_FAILED 1
#define EXIT_EXEC_FAILED 255 /* runc exec, for its own errors: it must not look like the program's */

/* Find `name` in a PATH-like list. This program itself does not count: rune may be installed under the name runc. */
static bool find_program(const char *list, const char *name, char path[PATH_MAX])
{
    struct stat self, found;
    if (stat("/proc/self/exe", &self) != 0)
        memset(&self, 0, sizeof(self));
    while (list && *list) {
        size_t length = strcspn(list, ":");
        if (length > 0 && snprintf(path, PATH_MAX, "%.*s/%s", (int)length, list, name) < PATH_MAX && access(path, X_OK) == 0 &&
            stat(path, &found) == 0 && S_ISREG(found.st_mode) && !(found.st_dev == self.st_dev && found.st_ino == self.st_ino))
            return true;
        list += length + (list[length] == ':');
    }
    return false;
}

static bool find_runc(char path[PATH_MAX])
{
    const char *chosen = getenv("ENCLAVIZE_RUNC");
    if (chosen && *chosen)
        return snprintf(path, PATH_MAX, "%s", chosen) < PATH_MAX;
    return find_program(SAFE_PATH, "runc", path);
}

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

static int become_python_part(const struct command_line *line, char **argv)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (length > 0) {
        path[length] = 0;
        char *name = strrchr(path, '/') + 1;
        if ((size_t)(name - path) + sizeof(PYTHON_PART) <= sizeof(path)) {
            memcpy(name, PYTHON_PART, sizeof(PYTHON_PART));
            execv(path, argv);
        }
    }
    if (find_program(getenv("PATH"), PYTHON_PART, path))
        execv(path, argv);
    report_error(line, PYTHON_PART " is not installed: it must stand beside rune, or in PATH, to run TEE containers");
    return EXIT_FAILED;
}

static int cannot_tell(const struct command_line *line, struct verdict verdict)
{
    char message[512];
    snprintf(message, sizeof(message), "cannot read %s: %s; whether this is a TEE container cannot be told, so it is refused",
             verdict.reason, strerror(errno));
    report_error(line, message);
    return EXIT_FAILED;
}

static int create(const struct command_line *line, char **argv)
{
    struct verdict verdict = bundle_kind(line->bundle);
    switch (verdict.kind) {
    case KIND_ORDINARY:
        return become_runc(line, argv);
    case KIND_TEE:
        return become_python_part(line, argv);
    case KIND_UNKNOWN:
        break;
    }
    return cannot_tell(line, verdict);
}

static int refuse_if_tee(const struct command_line *line, char **argv, struct verdict verdict, const char *message, int status)
{
    switch (verdict.kind) {
    case KIND_ORDINARY:
        return become_runc(line, argv);
    case KIND_TEE:
        report_error(line, message);
        return status;
    case KIND_UNKNOWN:
        break;
    }
    return cannot_tell(line, verdict);
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

int main(int argc, char **argv)
{
    const struct command_line line = parse_command_line(argc, argv);
    const char *command = line.command ? line.command : "";
    if (line.version)
        return version(&line, argv);
    if (strcmp(command, "create") == 0 || strcmp(command, "run") == 0)
        return create(&line, argv);
    if (strcmp(command, "exec") == 0)
        return refuse_if_tee(&line, argv, container_kind(&line), "exec into a TEE container is not available in this version of rune",
                             EXIT_EXEC_FAILED);
    if (strcmp(command, "checkpoint") == 0)
        return refuse_if_tee(&line, argv, container_kind(&line), "a TEE container cannot be checkpointed: an enclave's memory stays inside",
                             EXIT_FAILED);
    if (strcmp(command, "restore") == 0)
        return refuse_if_tee(&line, argv, bundle_kind(line.bundle), "a TEE container cannot be restored: an enclave's memory stays inside",
                             EXIT_FAILED);
    return become_runc(&line, argv);
}
