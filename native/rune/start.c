#define _GNU_SOURCE
#include "start.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pal_run.h"
#include "report.h"

#define STATUS "status" /* native/runelet_pal/status.h */
#define RUNNING "running"
#define FAILED "failed "
#define STATUS_SIZE 1024
#define STEP 20                /* milliseconds between looks */
#define PATIENCE (60 * 1000)   /* an enclave that takes longer is the engine's to wait for */

static int open_status(int folder)
{
    struct stat status;
    int file = openat(folder, STATUS, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file >= 0 && fstat(file, &status) == 0 && S_ISREG(status.st_mode))
        return file;
    if (file >= 0)
        close(file);
    return -1;
}

bool begin_start(const struct command_line *line, struct started *started)
{
    struct container_place place;
    int folder = find_container(line, &place) ? open_pal_run(&place) : -1;
    if (folder < 0)
        return false;
    started->status = open_status(folder);
    started->process = (int)syscall(SYS_pidfd_open, place.pid, 0);
    close(folder);
    return started->status >= 0 && started->process >= 0;
}

/* The whole line, without its end. False if it has not been written yet. */
static bool read_status(int file, char text[STATUS_SIZE])
{
    ssize_t size = pread(file, text, STATUS_SIZE - 1, 0);
    if (size <= 0)
        return false;
    text[size] = 0;
    text[strcspn(text, "\n")] = 0;
    return true;
}

static bool has_ended(int process, int patience)
{
    struct pollfd poller = {.fd = process, .events = POLLIN};
    return poll(&poller, 1, patience) > 0;
}

static bool tell(const struct command_line *line, const char *reason)
{
    char message[STATUS_SIZE + 64];
    snprintf(message, sizeof(message), "the enclave has not started: %s", reason);
    report_error(line, message);
    return false;
}

bool enclave_runs(const struct command_line *line, const struct started *started)
{
    char text[STATUS_SIZE];
    for (int waited = 0; waited < PATIENCE; waited += STEP) {
        bool ended = has_ended(started->process, STEP);
        if (read_status(started->status, text))
            return strcmp(text, RUNNING) == 0 || tell(line, strncmp(text, FAILED, strlen(FAILED)) == 0 ? text + strlen(FAILED) : text);
        if (ended)
            return tell(line, "its process has ended, and said nothing");
    }
    return true;
}
