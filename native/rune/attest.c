#define _GNU_SOURCE
#include "attest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "container.h"
#include "file.h"
#include "local_report.h"
#include "pal_run.h"
#include "report.h"

#define KEY_ID_OFFSET 384
static const char simulated[] = "SIMULATED REPORT"; /* native/pal/sim_keys.c */

static int refuse(const struct command_line *line, const char *what, const char *why)
{
    char message[1024];
    snprintf(message, sizeof(message), "%s%s%s", what, why ? ": " : "", why ? why : "");
    report_error(line, message);
    return EXIT_FAILURE;
}

static bool read_target(const char *path, char target[TARGETINFO_SIZE])
{
    struct json text;
    if (!path)
        return true;
    errno = 0;
    if (!map_file(AT_FDCWD, path, &text) || text.end - text.at != TARGETINFO_SIZE)
        return false;
    memcpy(target, text.at, TARGETINFO_SIZE);
    return true;
}

static int put_out(const struct command_line *line, const char *report)
{
    int file = line->report_file ? open(line->report_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : STDOUT_FILENO;
    if (file < 0 || write(file, report, REPORT_SIZE) != REPORT_SIZE)
        return refuse(line, "cannot write the report", strerror(errno));
    if (memcmp(report + KEY_ID_OFFSET, simulated, strlen(simulated)) == 0)
        dprintf(STDERR_FILENO, "rune: warning: this report is of a simulated enclave, and proves nothing\n");
    return EXIT_SUCCESS;
}

/* Its own runelet is asked through runc, which finds and enters the container. */
static int attest_own(const struct command_line *line, const char target[TARGETINFO_SIZE])
{
    struct local_report report = {0};
    struct verdict verdict = container_kind(line);
    switch (verdict.kind) {
    case KIND_ORDINARY:
        return refuse(line, "attest: this is no TEE container, so there is no enclave", line->id);
    case KIND_TEE:
        return ask_runelet(line, target, &report) ? put_out(line, report.data) : refuse(line, "attest", report.reason);
    case KIND_UNKNOWN:
        break;
    }
    return refuse(line, "attest: whether this is a TEE container cannot be told", verdict.reason);
}

int attest(const struct command_line *line)
{
    char target[TARGETINFO_SIZE] = {0};
    struct container_place place;
    struct local_report report = {0};
    if (!line->id)
        return refuse(line, "attest: the name of a container is missing; usage: rune attest [--target-info FILE] [--report-file FILE] ID", NULL);
    if (!read_target(line->target_info, target))
        return refuse(line, line->target_info, errno ? strerror(errno) : "not a file with a TARGETINFO, which has 512 bytes");
    if (!line->report_file && isatty(STDOUT_FILENO))
        return refuse(line, "a report is no text: write it to a file with --report-file, or into a pipe", NULL);
    if (!find_container(line, &place))
        return refuse(line, "attest: there is no such container", line->id);
    int folder = open_pal_run(&place);
    if (folder < 0)
        return attest_own(line, target);
    return ask_pal(folder, target, &report) ? put_out(line, report.data) : refuse(line, "attest", report.reason);
}
