#define _GNU_SOURCE
#include "runc_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "program.h"

/* What runc 1.0 to 1.3 says of a container that it does not know, or whose name it does not take. Other failures decide nothing. */
static const char *const unknown_container[] = {"does not exist", "invalid container ID format", "invalid id format",
                                                "container id cannot be empty"};

_Noreturn static void become_runc_state(const struct command_line *line, int out, int err)
{
    char path[PATH_MAX];
    const char *arguments[7], **next = arguments;
    *next++ = "runc";
    if (line->root) {
        *next++ = "--root";
        *next++ = line->root;
    }
    *next++ = "state";
    *next++ = "--";
    *next++ = line->id;
    *next = NULL;
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (find_runc(path) && nothing >= 0 && dup2(nothing, STDIN_FILENO) == STDIN_FILENO && dup2(out, STDOUT_FILENO) == STDOUT_FILENO &&
        dup2(err, STDERR_FILENO) == STDERR_FILENO)
        execv(path, (char *const *)arguments);
    _exit(EXIT_FAILURE);
}

static bool is_unknown_container(int err)
{
    struct json text;
    if (!map_descriptor(err, &text))
        return false;
    for (size_t i = 0; i < sizeof(unknown_container) / sizeof(*unknown_container); i++) {
        if (memmem(text.at, (size_t)(text.end - text.at), unknown_container[i], strlen(unknown_container[i])))
            return true;
    }
    return false;
}

enum state_result ask_runc_state(const struct command_line *line, struct json *answer)
{
    int status = 0, out = memfd_create("answer", MFD_CLOEXEC), err = memfd_create("errors", MFD_CLOEXEC);
    pid_t child = out < 0 || err < 0 ? -1 : fork();
    if (child == 0)
        become_runc_state(line, out, err);
    if (child < 0 || waitpid(child, &status, 0) != child)
        return STATE_FAILED;
    errno = 0;
    if (status == 0)
        return map_descriptor(out, answer) ? STATE_FOUND : STATE_FAILED;
    return WIFEXITED(status) && is_unknown_container(err) ? STATE_UNKNOWN_CONTAINER : STATE_FAILED;
}
