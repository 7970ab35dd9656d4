#define _GNU_SOURCE
#include "local_report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET "pal.sock" /* native/runelet_pal/attest.c */
#define PATIENCE 30       /* seconds */

struct answer {
    int32_t error;
    char data[REPORT_SIZE + 1];
};

static bool fail(struct local_report *report, const char *what, const char *why)
{
    snprintf(report->reason, sizeof(report->reason), "%s%s%s", what, why ? ": " : "", why ? why : "");
    return false;
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

bool ask_pal(int folder, const char target[TARGETINFO_SIZE], struct local_report *report)
{
    struct answer answer = {0};
    int server = connect_to(folder);
    if (server < 0)
        return fail(report, "the enclave does not run", strerror(errno));
    if (send(server, target, TARGETINFO_SIZE, MSG_NOSIGNAL) != TARGETINFO_SIZE)
        return fail(report, "the runelet takes no request", strerror(errno));
    ssize_t size = recv(server, &answer, sizeof(answer) - 1, 0);
    if (size < (ssize_t)sizeof(answer.error))
        return fail(report, "the runelet does not answer", size < 0 ? strerror(errno) : NULL);
    if (answer.error != 0)
        return fail(report, answer.data, NULL);
    if (size != (ssize_t)sizeof(answer.error) + REPORT_SIZE)
        return fail(report, "the answer is no report", NULL);
    memcpy(report->data, answer.data, REPORT_SIZE);
    return true;
}
