#define _GNU_SOURCE
#include "attest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "file.h"
#include "pal_run.h"
#include "report.h"

#define SOCKET "pal.sock" /* native/runelet_pal/attest.c */
#define TARGETINFO_SIZE 512
#define REPORT_SIZE 432
#define PATIENCE 30 /* seconds */

struct answer {
    int32_t error;
    char data[REPORT_SIZE + 1];
};

static int refuse(const struct command_line *line, const char *what, const char *why)
{
    char message[1024];
    snprintf(message, sizeof(message), "%s%s%s", what, why ? ": " : "", why ? why : "");
    report_error(line, message);
    return EXIT_FAILURE;
}

/* By the socket itself: a link in its place would lead to one of the host's. */
static int connect_to(int folder)
{
    struct stat status;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_sec = PATIENCE};
    int place = openat(folder, SOCKET, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (place < 0)
        return -1;
    if (fstat(place, &status) != 0 || !S_ISSOCK(status.st_mode)) {
        close(place);
        errno = ENOTSOCK;
        return -1;
    }
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", place);
    int made = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    setsockopt(made, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(made, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    int error = connect(made, (const struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
    close(place);
    if (error && made >= 0)
        close(made);
    errno = error;
    return error ? -1 : made;
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
    return EXIT_SUCCESS;
}

int attest(const struct command_line *line)
{
    char target[TARGETINFO_SIZE] = {0};
    struct container_place place;
    struct answer answer = {0};
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
        return refuse(line, "attest: this container has no PAL that rune can ask; its program asks for reports inside the enclave", line->id);
    int server = connect_to(folder);
    if (server < 0)
        return refuse(line, "attest: the enclave does not run", strerror(errno));
    if (send(server, target, sizeof(target), MSG_NOSIGNAL) != (ssize_t)sizeof(target))
        return refuse(line, "attest: the runelet takes no request", strerror(errno));
    ssize_t size = recv(server, &answer, sizeof(answer) - 1, 0);
    if (size < (ssize_t)sizeof(answer.error))
        return refuse(line, "attest: the runelet does not answer", size < 0 ? strerror(errno) : NULL);
    if (answer.error != 0)
        return refuse(line, "attest", answer.data);
    if (size != (ssize_t)sizeof(answer.error) + REPORT_SIZE)
        return refuse(line, "attest: the answer is no report", NULL);
    return put_out(line, answer.data);
}
