#define _GNU_SOURCE
#include "attest.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "calls.h"
#include "message.h"
#include "pal.h"

#define NAME "pal.sock"
#define PATIENCE 5 /* seconds */

static int socket_fd = -1;
static const struct library *attesting;
static bool stopped;
static pthread_mutex_t calling = PTHREAD_MUTEX_INITIALIZER;

struct answer {
    int32_t error;
    char data[PAL_REPORT_SIZE];
};

void bind_attestation(const char *folder)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!*folder || (size_t)snprintf(address.sun_path, sizeof(address.sun_path), "%s/" NAME, folder) >= sizeof(address.sun_path))
        return;
    int made = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    mode_t before = umask(S_IRWXG | S_IRWXO);
    unlink(address.sun_path); /* of the container's start before this one */
    if (made >= 0 && bind(made, (const struct sockaddr *)&address, sizeof(address)) == 0 && listen(made, 8) == 0) {
        socket_fd = made;
    } else {
        warning_message("no reports for rune attest: %s", strerror(errno));
        if (made >= 0)
            close(made);
    }
    umask(before);
}

static size_t refuse(struct answer *answer, int error, const char *reason)
{
    answer->error = error;
    return offsetof(struct answer, data) + (size_t)snprintf(answer->data, sizeof(answer->data), "%s", reason);
}

static size_t make_report(void *targetinfo, struct answer *answer)
{
    int length = PAL_REPORT_SIZE;
    if (stopped)
        return refuse(answer, -ESRCH, "the enclave has ended");
    int error = CALL("pal_get_local_report", attesting->get_local_report(targetinfo, PAL_TARGETINFO_SIZE, answer->data, &length));
    if (error != 0)
        return refuse(answer, error < 0 ? error : -EIO, "the PAL gives no report");
    if (length != PAL_REPORT_SIZE)
        return refuse(answer, -EIO, "the PAL has given a report of another size than 432 bytes");
    answer->error = 0;
    return sizeof(*answer);
}

static void serve(int client)
{
    const struct timeval patience = {.tv_sec = PATIENCE};
    char request[PAL_TARGETINFO_SIZE + 1];
    _Alignas(512) char targetinfo[PAL_TARGETINFO_SIZE];
    struct answer answer = {0};
    size_t size;
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (recv(client, request, sizeof(request), 0) != PAL_TARGETINFO_SIZE) {
        size = refuse(&answer, -EINVAL, "a request is a TARGETINFO of 512 bytes");
    } else if (!attesting->get_local_report) {
        size = refuse(&answer, -ENOSYS, "this PAL is of a version of the PAL API before 3, which has no reports");
    } else {
        memcpy(targetinfo, request, sizeof(targetinfo));
        pthread_mutex_lock(&calling);
        size = make_report(targetinfo, &answer);
        pthread_mutex_unlock(&calling);
    }
    send(client, &answer, size, MSG_NOSIGNAL);
}

static void *answer_all(void *unused)
{
    (void)unused;
    for (;;) {
        int client = accept4(socket_fd, NULL, NULL, SOCK_CLOEXEC);
        if (client >= 0) {
            serve(client);
            close(client);
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return NULL;
        }
    }
}

void start_attestation(const struct library *library)
{
    pthread_t thread;
    attesting = library;
    if (socket_fd >= 0 && pthread_create(&thread, NULL, answer_all, NULL) == 0)
        pthread_detach(thread);
}

void stop_attestation(void)
{
    pthread_mutex_lock(&calling);
    stopped = true;
    pthread_mutex_unlock(&calling);
}
