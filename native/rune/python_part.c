#define _GNU_SOURCE
#include "python_part.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "program.h"
#include "report.h"

#define NAME "enclavize-rune"

bool find_python_part(const struct command_line *line, char path[PATH_MAX])
{
    if (own_path(path)) {
        char *name = strrchr(path, '/') + 1;
        if ((size_t)(name - path) + sizeof(NAME) <= PATH_MAX) {
            memcpy(name, NAME, sizeof(NAME));
            if (access(path, F_OK) == 0)
                return true;
        }
    }
    if (find_program(getenv("PATH"), NAME, path))
        return true;
    report_error(line, NAME " is not installed: it must stand beside rune, or in PATH, to run TEE containers");
    return false;
}

static void cannot_run(const struct command_line *line, const char *path, int error)
{
    char message[PATH_MAX + 64];
    snprintf(message, sizeof(message), "cannot run %s: %s", path, strerror(error)); /* its interpreter may be missing, or not ours to run */
    report_error(line, message);
}

void become_python_part(const struct command_line *line, const char *path, const char *option, char **argv)
{
    size_t count = 0;
    while (argv[count])
        count++;
    char **arguments = calloc(count + 2, sizeof(*arguments));
    if (arguments) {
        arguments[0] = argv[0];
        arguments[1] = (char *)option;
        memcpy(arguments + 2, argv + 1, count * sizeof(*argv)); /* with the NULL at the end */
        execv(path, arguments);
    }
    cannot_run(line, path, errno);
}

bool ask_python_part(const struct command_line *line, const char *path, const char *option, char **argv, struct json *answer)
{
    int status = 0, out = memfd_create("plan", MFD_CLOEXEC);
    pid_t parent = getpid(), child = out < 0 ? -1 : fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody waits for its answer then */
        if (getppid() == parent && dup2(out, STDOUT_FILENO) == STDOUT_FILENO)
            become_python_part(line, path, option, argv);
        _exit(EXIT_FAILURE);
    }
    if (child < 0) {
        cannot_run(line, path, errno);
        return false;
    }
    while (waitpid(child, &status, 0) != child) {
        if (errno != EINTR)
            return false;
    }
    if (!WIFEXITED(status) || (status == 0 && !map_descriptor(out, answer))) {
        report_error(line, NAME " ended before it had decided");
        return false;
    }
    return status == 0;
}
