#define _GNU_SOURCE
#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "channel.h"
#include "exit_codes.h"
#include "message.h"
#include "pal.h"
#include "signals.h"

#define FIND_MS 5000 /* a container's runelet may have only just been started */
#define RETRY_MS 5
#define HELLO_MS 60000 /* so long may its enclave take to load */
#define EXIT_KILLED (128 + SIGKILL)

static const char nobody[] = "no runelet of this container answers";
static const char other_user[] = "the container's runelet has another user, or other capabilities: a command in the enclave has the image's user, so one "
                                 "that is chosen (--user, --privileged) cannot be obeyed";

static int find_runelet(void)
{
    int connection = channel_connect();
    for (int waited = 0; connection < 0 && errno == ENOENT && waited < FIND_MS; waited += RETRY_MS) {
        nanosleep(&(struct timespec){.tv_nsec = RETRY_MS * 1000000L}, NULL);
        connection = channel_connect();
    }
    return connection;
}

static uint32_t write_strings(FILE *file, char **strings)
{
    uint32_t count = 0;
    for (; strings[count]; count++)
        fwrite(strings[count], 1, strlen(strings[count]) + 1, file);
    return count;
}

/* The strings of the request, in a file without a name; -1 after an error message. */
static int make_request(struct call *call, char **arguments, char **environment)
{
    char directory[PATH_MAX];
    int descriptor = memfd_create("request", MFD_CLOEXEC), copy = descriptor < 0 ? -1 : fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
    FILE *file = copy < 0 ? NULL : fdopen(copy, "w");
    if (!file || !getcwd(directory, sizeof(directory))) {
        error_message("exec: the request cannot be made: %s", strerror(errno));
        return -1;
    }
    call->argument_count = write_strings(file, arguments);
    call->environment_count = write_strings(file, environment);
    fwrite(directory, 1, strlen(directory) + 1, file);
    long size = ftell(file);
    if (fclose(file) != 0 || size < 0 || size > (long)REQUEST_SIZE_MAX) {
        error_message("exec: arguments and environment are longer than %u bytes", REQUEST_SIZE_MAX);
        return -1;
    }
    call->size = (uint32_t)size;
    return descriptor;
}

static bool send_call(int connection, struct call *call, int request)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE((1 + STREAM_COUNT) * sizeof(int))];
    } control = {0};
    int descriptors[1 + STREAM_COUNT] = {request}, count = 1;
    for (int stream = 0; stream < STREAM_COUNT; stream++) {
        if (fcntl(stream, F_GETFD) >= 0) {
            call->open_streams |= 1U << stream;
            descriptors[count++] = stream;
        }
    }
    struct iovec part = {call, sizeof(*call)};
    size_t size = (size_t)count * sizeof(int);
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(size)};
    control.header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(size)};
    memcpy(CMSG_DATA(&control.header), descriptors, size);
    return sendmsg(connection, &message, MSG_NOSIGNAL) == sizeof(*call);
}

/* What the runelet answers to a connection: hello, or why it takes no command. */
static bool receive_hello(int connection, struct call *call)
{
    struct pollfd wanted = {.fd = connection, .events = POLLIN};
    union {
        struct hello hello;
        struct notice notice;
    } answer = {0};
    if (poll(&wanted, 1, HELLO_MS) != 1) {
        error_message("exec: the enclave has not begun within %d seconds", HELLO_MS / 1000);
        return false;
    }
    ssize_t size = recv(connection, &answer, sizeof(answer), 0);
    if (size == sizeof(answer.notice)) {
        error_message("exec: %.*s", NOTICE_TEXT_SIZE, answer.notice.text);
        return false;
    }
    if (size != sizeof(answer.hello) || answer.hello.version != CHANNEL_VERSION) {
        error_message("exec: %s", size > 0 ? "the container's runelet is of another version" : "the container is ending");
        return false;
    }
    memcpy(call->nonce, answer.hello.nonce, sizeof(call->nonce));
    return true;
}

static void pass_signal(int connection, int signals)
{
    struct signalfd_siginfo info;
    if (read(signals, &info, sizeof(info)) != sizeof(info))
        return;
    struct notice notice = {.type = NOTICE_SIGNAL, .value = info.ssi_signo | (info.ssi_code == SI_KERNEL ? PAL_FROM_TERMINAL : 0)};
    ssize_t sent = send(connection, &notice, sizeof(notice), MSG_NOSIGNAL);
    (void)sent; /* then the end is about to be told */
}

static int put_report(const struct notice *notice)
{
    if (write(STDOUT_FILENO, notice->text, PAL_REPORT_SIZE) == PAL_REPORT_SIZE)
        return 0;
    error_message("exec: the report cannot be written: %s", strerror(errno));
    return EXIT_NOT_ALLOWED;
}

static int await_end(int connection, int signals)
{
    struct notice notice = {0};
    struct pollfd wanted[] = {{.fd = connection, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
    for (;;) {
        if (poll(wanted, 2, -1) < 0)
            continue;
        if (wanted[1].revents)
            pass_signal(connection, signals);
        if (!wanted[0].revents)
            continue;
        ssize_t size = recv(connection, &notice, sizeof(notice), MSG_DONTWAIT);
        if (size < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (size != sizeof(notice))
            return EXIT_KILLED; /* the container has ended */
        if (notice.type == NOTICE_REPORT)
            return put_report(&notice);
        if (notice.type == NOTICE_REFUSAL)
            error_message("exec: %.*s", NOTICE_TEXT_SIZE, notice.text);
        return (int)(notice.value & 0xFF);
    }
}

/* A whole TARGETINFO, in a file without a name; -1 after an error message. */
static int take_target(struct call *call)
{
    char target[PAL_TARGETINFO_SIZE + 1];
    size_t size = fread(target, 1, sizeof(target), stdin);
    if (size != PAL_TARGETINFO_SIZE) {
        error_message("exec: standard input is not a TARGETINFO, which has %d bytes", PAL_TARGETINFO_SIZE);
        return -1;
    }
    int file = memfd_create("target", MFD_CLOEXEC);
    if (file < 0 || write(file, target, size) != (ssize_t)size) {
        error_message("exec: the request cannot be made: %s", strerror(errno));
        return -1;
    }
    call->size = PAL_TARGETINFO_SIZE;
    return file;
}

/* `request` is the call's file; -1 after an error message. */
static int ask(struct call *call, int request)
{
    sigset_t passed = asynchronous_signals();
    if (request < 0)
        return EXIT_NOT_ALLOWED;
    sigdelset(&passed, SIGCHLD);
    sigprocmask(SIG_BLOCK, &passed, NULL);
    int signals = signalfd(-1, &passed, SFD_CLOEXEC | SFD_NONBLOCK);
    int connection = find_runelet();
    if (connection < 0 || signals < 0) {
        error_message("exec: %s", signals >= 0 && errno == EACCES ? other_user : signals >= 0 && errno == ENOENT ? nobody : strerror(errno));
        return EXIT_NOT_ALLOWED;
    }
    if (!receive_hello(connection, call))
        return EXIT_NOT_ALLOWED;
    if (!send_call(connection, call, request)) {
        error_message("exec: the container's runelet cannot be asked: %s", strerror(errno));
        return EXIT_NOT_ALLOWED;
    }
    close(request);
    return await_end(connection, signals);
}

int exec_command(char **arguments, char **environment)
{
    struct call call = {.version = CHANNEL_VERSION, .kind = CALL_COMMAND};
    int request = make_request(&call, arguments, environment);
    return ask(&call, request);
}

int exec_report(void)
{
    struct call call = {.version = CHANNEL_VERSION, .kind = CALL_REPORT};
    int request = take_target(&call);
    return ask(&call, request);
}
