#define _GNU_SOURCE
#include "commands.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "channel.h"
#include "exit_codes.h"
#include "message.h"
#include "pal.h"
#include "reports.h"

#define CONNECTIONS_MAX 1000
#define CALL_SECONDS 10 /* so long may a client take to ask */
#define STACK_SIZE (256UL << 10) /* what the PAL's own threads have */
#define DESCRIPTORS (1 + STREAM_COUNT)

struct connection {
    int socket;
    pthread_t runner;
    int pid; /* as the PAL calls it */
    atomic_bool has_ended;
    struct pal_stdio_fds stdio;
    char *strings, **arguments, **environment;
    const char *directory;
};

static int listener = -1;
static atomic_int connection_count;

void offer_commands(void)
{
    listener = channel_listen();
    if (listener < 0)
        warning_message("no command can be run in the enclave from outside: %s", strerror(errno));
}

static void send_notice(int socket, const struct notice *notice)
{
    ssize_t sent = send(socket, notice, sizeof(*notice), MSG_NOSIGNAL);
    (void)sent; /* then nobody waits for it any more */
}

static void tell(int socket, enum notice_type type, int value, const char *text)
{
    struct notice notice = {.type = type, .value = (uint32_t)value};
    snprintf(notice.text, sizeof(notice.text), "%s", text);
    send_notice(socket, &notice);
}

__attribute__((format(printf, 2, 3))) static bool refuse(const struct connection *connection, const char *format, ...)
{
    char text[NOTICE_TEXT_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    tell(connection->socket, NOTICE_REFUSAL, EXIT_NOT_ALLOWED, text);
    return false;
}

/* The message, and its descriptors: all that came are in `descriptors`, the others -1. */
static ssize_t receive_call(int socket, struct call *call, int descriptors[DESCRIPTORS])
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
    } control;
    struct iovec part = {call, sizeof(*call)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    const struct cmsghdr *header = size < 0 ? NULL : CMSG_FIRSTHDR(&message); /* there is room for one alone */
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(descriptors, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
    return message.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? -1 : size;
}

static void close_all(int descriptors[DESCRIPTORS])
{
    for (int i = 0; i < DESCRIPTORS; i++) {
        if (descriptors[i] >= 0)
            close(descriptors[i]);
        descriptors[i] = -1;
    }
}

/* `count` strings from *at on, as a list that ends with NULL; NULL: they are not there, or no memory. */
static char **take_strings(uint32_t count, char **at, const char *end)
{
    char **list = count <= REQUEST_SIZE_MAX ? calloc(count + 1UL, sizeof(*list)) : NULL;
    for (uint32_t i = 0; list && i < count; i++) {
        size_t length = strnlen(*at, (size_t)(end - *at));
        if (*at + length == end) {
            free(list);
            return NULL;
        }
        list[i] = *at;
        *at += length + 1;
    }
    return list;
}

static bool read_request(struct connection *connection, const struct call *call, int file)
{
    if (call->size == 0 || call->size > REQUEST_SIZE_MAX)
        return false;
    connection->strings = malloc(call->size);
    if (!connection->strings || pread(file, connection->strings, call->size, 0) != (ssize_t)call->size)
        return false;
    char *at = connection->strings, *end = at + call->size;
    connection->arguments = take_strings(call->argument_count, &at, end);
    connection->environment = connection->arguments ? take_strings(call->environment_count, &at, end) : NULL;
    connection->directory = at;
    return connection->environment && at < end && end[-1] == 0;
}

/* The enclave's user and directory are measured: an engine's options for another one would be obeyed by nobody. */
static bool check_place(const struct connection *connection, const struct peer *peer)
{
    char directory[PATH_MAX];
    if (peer->uid != geteuid() || peer->gid != getegid())
        return refuse(connection, "a command in the enclave has the image's user: it cannot be run as another one (%u:%u)", peer->uid, peer->gid);
    if (!getcwd(directory, sizeof(directory)) || strcmp(directory, connection->directory) != 0)
        return refuse(connection, "a command in the enclave begins in the image's working directory: it cannot begin in %.200s", connection->directory);
    return true;
}

static bool take_call(struct connection *connection, const struct peer *peer, const struct call *call, int descriptors[DESCRIPTORS])
{
    int *const streams[STREAM_COUNT] = {&connection->stdio.in, &connection->stdio.out, &connection->stdio.err};
    if (!read_request(connection, call, descriptors[0]))
        return refuse(connection, "the request is malformed");
    for (int stream = 0, next = 1; stream < STREAM_COUNT; stream++) {
        if (!(call->open_streams & 1U << stream))
            continue;
        *streams[stream] = descriptors[next];
        descriptors[next++] = -1;
    }
    return check_place(connection, peer);
}

/* It is the whole answer: no command follows. */
static bool answer_report(const struct connection *connection, const struct call *call, int file)
{
    struct notice notice;
    make_report(file, call->size, &notice);
    send_notice(connection->socket, &notice);
    return false;
}

static bool answer_call(struct connection *connection, const struct peer *peer, const struct call *call, int descriptors[DESCRIPTORS])
{
    switch ((enum call_kind)call->kind) {
    case CALL_COMMAND:
        return take_call(connection, peer, call, descriptors);
    case CALL_REPORT:
        return answer_report(connection, call, descriptors[0]);
    }
    return refuse(connection, "the request is malformed");
}

/* Whether a command is to run. Only a process of this container: the same after the answer as before the question. */
static bool admit(struct connection *connection)
{
    struct peer peer;
    struct hello hello = {.version = CHANNEL_VERSION};
    struct call call;
    int descriptors[DESCRIPTORS] = {-1, -1, -1, -1};
    const struct timeval limit = {.tv_sec = CALL_SECONDS}, none = {0};
    if (!peer_look(connection->socket, &peer))
        return refuse(connection, "only a process of the same container, of the same user and with no more capabilities, may ask for a command in the enclave");
    bool done = getrandom(hello.nonce, sizeof(hello.nonce), 0) == sizeof(hello.nonce) &&
                setsockopt(connection->socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0 &&
                send(connection->socket, &hello, sizeof(hello), MSG_NOSIGNAL) == sizeof(hello) &&
                receive_call(connection->socket, &call, descriptors) == sizeof(call) && call.version == CHANNEL_VERSION &&
                memcmp(call.nonce, hello.nonce, sizeof(hello.nonce)) == 0 && peer_is_alive(&peer) &&
                setsockopt(connection->socket, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none)) == 0 &&
                answer_call(connection, &peer, &call, descriptors);
    close_all(descriptors);
    peer_close(&peer);
    return done;
}

static const char *reason_of(int error)
{
    const char *reason = pal_builtin_error();
    return reason && *reason ? reason : strerror(error < 0 ? -error : error);
}

static void *run(void *argument)
{
    struct connection *connection = argument;
    int exit_value = EXIT_NOT_ALLOWED;
    struct pal_exec_args execution = {.pid = connection->pid, .exit_value = &exit_value};
    int error = pal_exec(&execution);
    atomic_store(&connection->has_ended, true);
    if (error)
        tell(connection->socket, NOTICE_REFUSAL, EXIT_NOT_ALLOWED, reason_of(error));
    else
        tell(connection->socket, NOTICE_END, exit_value, "");
    shutdown(connection->socket, SHUT_RDWR);
    return NULL;
}

static bool start_thread(pthread_t *thread, void *(*routine)(void *), void *argument)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    int error = pthread_create(thread, &attributes, routine, argument);
    pthread_attr_destroy(&attributes);
    return error == 0;
}

static bool start(struct connection *connection)
{
    struct pal_create_process_args process = {.path = "runelet", .argv = connection->arguments, .env = connection->environment,
                                              .stdio = &connection->stdio, .pid = &connection->pid};
    int error = pal_create_process(&process);
    if (error)
        return refuse(connection, "%s", reason_of(error));
    return start_thread(&connection->runner, run, connection) || refuse(connection, "there is no thread for another command");
}

/* Until the client has gone, and its command with it. */
static void pass_signals(struct connection *connection)
{
    struct notice notice;
    ssize_t size;
    while ((size = recv(connection->socket, &notice, sizeof(notice), 0)) > 0 || (size < 0 && errno == EINTR)) {
        if (size == sizeof(notice) && notice.type == NOTICE_SIGNAL)
            pal_kill(connection->pid, (int)notice.value);
    }
    if (!atomic_load(&connection->has_ended))
        pal_kill(connection->pid, SIGKILL);
}

static void release(struct connection *connection)
{
    const int descriptors[] = {connection->socket, connection->stdio.in, connection->stdio.out, connection->stdio.err};
    for (size_t i = 0; i < sizeof(descriptors) / sizeof(*descriptors); i++) {
        if (descriptors[i] >= 0)
            close(descriptors[i]);
    }
    free(connection->arguments);
    free(connection->environment);
    free(connection->strings);
    free(connection);
    atomic_fetch_sub(&connection_count, 1);
}

static void *serve(void *argument)
{
    struct connection *connection = argument;
    pthread_detach(pthread_self());
    if (admit(connection) && start(connection)) {
        pass_signals(connection);
        pthread_join(connection->runner, NULL);
    }
    release(connection);
    return NULL;
}

static void take_connection(int socket)
{
    pthread_t thread;
    struct connection *connection = calloc(1, sizeof(*connection));
    if (!connection) {
        close(socket);
        return;
    }
    connection->socket = socket;
    connection->stdio = (struct pal_stdio_fds){-1, -1, -1};
    if (atomic_fetch_add(&connection_count, 1) >= CONNECTIONS_MAX || !start_thread(&thread, serve, connection)) {
        refuse(connection, "%d commands run already", CONNECTIONS_MAX);
        release(connection);
    }
}

static void *accept_all(void *unused)
{
    (void)unused;
    for (;;) {
        int socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (socket >= 0)
            take_connection(socket);
        else if (errno != EINTR && errno != ECONNABORTED)
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL); /* too many files are open, say */
    }
    return NULL;
}

void serve_commands(void)
{
    pthread_t thread;
    if (listener >= 0 && !start_thread(&thread, accept_all, NULL))
        warning_message("no command can be run in the enclave from outside: there is no thread for it");
}
