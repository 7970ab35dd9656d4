/*
 * Sockets for the enclave. They never block, and are of the two families that reach the network: what the enclave asks for beyond that is refused
 * here as well, since a fault of the enclave must not become one of this process.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ocall.h"
#include "ocall_files.h"
#include "read_ahead.h"

_Static_assert(sizeof(struct sockaddr_in6) == HOST_NAME_SIZE, "host_name");

#define INPUT_EVENTS (POLLIN | POLLPRI | POLLRDHUP)

static int64_t result_of(long result)
{
    return result < 0 ? -errno : result;
}

static int socket_descriptor(const struct request *call)
{
    return host_descriptor((int64_t)call->arguments[0]);
}

int64_t ocall_socket(struct request *call)
{
    int family = (int)call->arguments[0], type = (int)call->arguments[1] & 0xF;
    if (family != AF_INET && family != AF_INET6) {
        return -EAFNOSUPPORT;
    }
    int descriptor = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, (int)call->arguments[2]);
    return descriptor < 0 ? -errno : host_descriptor_add(descriptor);
}

/* The name in exchange.data; its length was checked by ocall_fits() to lie in there. */
static int take_name(const struct request *call, struct sockaddr_storage *name)
{
    if (call->arguments[1] > HOST_NAME_SIZE) {
        return -EINVAL;
    }
    memcpy(name, call->data, call->arguments[1]);
    return 0;
}

int64_t ocall_socket_bind(struct request *call)
{
    struct sockaddr_storage name = {0};
    int error = take_name(call, &name);
    return error ? error : result_of(bind(socket_descriptor(call), (const struct sockaddr *)&name, (socklen_t)call->arguments[1]));
}

int64_t ocall_socket_connect(struct request *call)
{
    struct sockaddr_storage name = {0};
    int error = take_name(call, &name);
    read_ahead_stop((int64_t)call->arguments[0], false);
    return error ? error : result_of(connect(socket_descriptor(call), (const struct sockaddr *)&name, (socklen_t)call->arguments[1]));
}

int64_t ocall_socket_listen(struct request *call)
{
    return result_of(listen(socket_descriptor(call), (int)call->arguments[1]));
}

static void put_name(uint8_t *to, const struct sockaddr_storage *name, socklen_t length)
{
    struct host_name answer = {.length = length <= HOST_NAME_SIZE ? length : 0};
    memcpy(answer.bytes, name, answer.length);
    memcpy(to, &answer, sizeof(answer));
}

int64_t ocall_socket_accept(struct request *call)
{
    struct sockaddr_storage name = {0};
    socklen_t length = sizeof(name);
    if (call->arguments[1] != sizeof(struct host_name)) {
        return -EINVAL;
    }
    int descriptor = accept4(socket_descriptor(call), (struct sockaddr *)&name, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor < 0) {
        return -errno;
    }
    put_name(call->data, &name, length);
    return host_descriptor_add(descriptor);
}

int64_t ocall_socket_name(struct request *call)
{
    struct sockaddr_storage name = {0};
    socklen_t length = sizeof(name);
    if (call->arguments[2] != sizeof(struct host_name)) {
        return -EINVAL;
    }
    int result = (call->arguments[1] ? getpeername : getsockname)(socket_descriptor(call), (struct sockaddr *)&name, &length);
    if (result != 0) {
        return -errno;
    }
    put_name(call->data, &name, length);
    return 0;
}

enum host_input look_at_input(int descriptor)
{
    struct pollfd entry = {.fd = descriptor, .events = INPUT_EVENTS};
    return poll(&entry, 1, 0) == 0 ? HOST_INPUT_NONE : HOST_INPUT_UNKNOWN;
}

/* A message's header from exchange.data, copied once; lengths beyond its arrays are refused. */
static int take_message(const struct request *call, struct host_message *message)
{
    memcpy(message, call->data, sizeof(*message));
    return message->name.length > HOST_NAME_SIZE || message->control_length > HOST_CONTROL_SIZE ? -EINVAL : 0;
}

int64_t ocall_socket_send(struct request *call)
{
    struct host_message message;
    int descriptor = socket_descriptor(call), error = take_message(call, &message);
    if (error) {
        return error;
    }
    struct iovec data = {.iov_base = call->data + sizeof(message), .iov_len = call->arguments[1]};
    const struct msghdr header = {
        .msg_name = message.name.length ? message.name.bytes : NULL, .msg_namelen = message.name.length, .msg_iov = &data, .msg_iovlen = 1,
        .msg_control = message.control_length ? message.control : NULL, .msg_controllen = message.control_length,
    };
    ssize_t sent = sendmsg(descriptor, &header, (int)call->arguments[2] | MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
        return -errno;
    }
    const struct host_message answer = {.input = message.input == HOST_INPUT_ASK ? look_at_input(descriptor) : HOST_INPUT_UNKNOWN};
    read_ahead_sent((int64_t)call->arguments[0], &message);
    memcpy(call->data, &answer, offsetof(struct host_message, control));
    return sent;
}

static int64_t receive(struct request *call, struct host_message *message)
{
    struct sockaddr_storage name = {0};
    int descriptor = socket_descriptor(call);
    struct iovec data = {.iov_base = call->data + sizeof(*message), .iov_len = call->arguments[1]};
    struct msghdr header = {
        .msg_name = &name, .msg_namelen = sizeof(name), .msg_iov = &data, .msg_iovlen = 1,
        .msg_control = message->control_length ? message->control : NULL, .msg_controllen = message->control_length,
    };
    ssize_t got = recvmsg(descriptor, &header, (int)call->arguments[2] | MSG_DONTWAIT);
    if (got < 0) {
        return -errno;
    }
    struct host_message answer = *message;
    put_name(call->data, &name, header.msg_namelen);
    answer.control_length = message->control_length ? (uint32_t)header.msg_controllen : 0;
    answer.flags = (uint32_t)header.msg_flags;
    answer.full_length = (uint32_t)got;
    answer.input = message->input == HOST_INPUT_ASK ? look_at_input(descriptor) : HOST_INPUT_UNKNOWN;
    memcpy(call->data + sizeof(struct host_name), (const uint8_t *)&answer + sizeof(struct host_name), sizeof(answer) - sizeof(struct host_name));
    return (uint64_t)got < call->arguments[1] ? got : (int64_t)call->arguments[1]; /* more with MSG_TRUNC */
}

int64_t ocall_socket_receive(struct request *call)
{
    struct host_message message;
    int64_t error = take_message(call, &message), fd = (int64_t)call->arguments[0];
    if (error) {
        return error;
    }
    if (!read_ahead_receives(fd, &message)) {
        call->thread->exchange->aheads = read_ahead_count();
        return -EAGAIN;
    }
    int64_t got = receive(call, &message);
    read_ahead_received(fd, &message);
    return got;
}

int64_t ocall_socket_shut(struct request *call)
{
    return result_of(shutdown(socket_descriptor(call), (int)call->arguments[1]));
}

int64_t ocall_option_get(struct request *call)
{
    socklen_t length = (socklen_t)call->arguments[2];
    int level = (int)(call->arguments[1] >> 32), name = (int)call->arguments[1];
    if (getsockopt(socket_descriptor(call), level, name, call->data, &length) != 0) {
        return -errno;
    }
    return length;
}

int64_t ocall_option_set(struct request *call)
{
    int level = (int)(call->arguments[1] >> 32), name = (int)call->arguments[1];
    read_ahead_stop((int64_t)call->arguments[0], false);
    return result_of(setsockopt(socket_descriptor(call), level, name, call->data, (socklen_t)call->arguments[2]));
}
