#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exec.h"
#include "file.h"
#include "local_report.h"
#include "program.h"

/* What the runelet's messages begin with: native/runelet/message.c, exec.c */
#define PREFIX "enclavize: error: exec: "

struct streams {
    int in, out, err;
};

static bool make_streams(const char target[TARGETINFO_SIZE], struct streams *streams)
{
    streams->in = memfd_create("target", MFD_CLOEXEC);
    streams->out = memfd_create("report", MFD_CLOEXEC);
    streams->err = memfd_create("errors", MFD_CLOEXEC);
    return streams->in >= 0 && streams->out >= 0 && streams->err >= 0 && write(streams->in, target, TARGETINFO_SIZE) == TARGETINFO_SIZE &&
           lseek(streams->in, 0, SEEK_SET) == 0;
}

_Noreturn static void become_runc_exec(const struct command_line *line, struct streams streams)
{
    char path[PATH_MAX];
    const char *arguments[10], **next = arguments;
    *next++ = "runc";
    if (line->root) {
        *next++ = "--root";
        *next++ = line->root;
    }
    *next++ = "exec";
    *next++ = "--";
    *next++ = line->id;
    *next++ = RUNELET;
    *next++ = "exec";
    *next++ = "--report";
    *next = NULL;
    if (find_runc(path) && dup2(streams.in, STDIN_FILENO) == STDIN_FILENO && dup2(streams.out, STDOUT_FILENO) == STDOUT_FILENO &&
        dup2(streams.err, STDERR_FILENO) == STDERR_FILENO)
        execv(path, (char *const *)arguments);
    _exit(EXIT_FAILURE);
}

/* The last line is the cause: runc may have warned before. */
static void take_reason(int err, struct local_report *report)
{
    struct json text;
    snprintf(report->reason, sizeof(report->reason), "the container's runelet says nothing");
    if (!map_descriptor(err, &text))
        return;
    while (text.end > text.at && text.end[-1] == '\n')
        text.end--;
    const char *before = memrchr(text.at, '\n', (size_t)(text.end - text.at)), *start = before ? before + 1 : text.at;
    size_t length = (size_t)(text.end - start);
    if (length >= strlen(PREFIX) && memcmp(start, PREFIX, strlen(PREFIX)) == 0)
        start += strlen(PREFIX);
    snprintf(report->reason, sizeof(report->reason), "%.*s", (int)(text.end - start), start);
}

bool ask_runelet(const struct command_line *line, const char target[TARGETINFO_SIZE], struct local_report *report)
{
    int status = 0;
    struct streams streams;
    bool done = make_streams(target, &streams);
    pid_t child = done ? fork() : -1;
    if (child == 0)
        become_runc_exec(line, streams);
    if (child < 0 || waitpid(child, &status, 0) != child) {
        snprintf(report->reason, sizeof(report->reason), "runc cannot be started: %s", strerror(errno));
        return false;
    }
    if (status == 0 && pread(streams.out, report->data, REPORT_SIZE, 0) == REPORT_SIZE)
        return true;
    take_reason(streams.err, report);
    return false;
}
