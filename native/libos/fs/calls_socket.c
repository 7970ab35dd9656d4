/*
 * Pairs of connected sockets inside the enclave. There are no others yet: the errno of socket() is the one
 * that programs are used to hear for a family that is missing.
 */
#include "fs/call_support.h"
#include "fs/socket_pair.h"

#define AF_UNIX 1U

#define SOCK_STREAM 1U
#define SOCK_CLOEXEC O_CLOEXEC
#define SOCK_NONBLOCK O_NONBLOCK

#define SOL_SOCKET 1U
enum socket_option {
    SO_TYPE = 3,
    SO_ERROR = 4,
    SO_SNDBUF = 7,
    SO_RCVBUF = 8,
    SO_ACCEPTCONN = 30,
    SO_PROTOCOL = 38,
    SO_DOMAIN = 39,
};
#define BUFFER_SIZE 65536 /* of a pipe */

int64_t sys_socket(const struct arguments *arguments)
{
    (void)arguments;
    return -EAFNOSUPPORT;
}

int64_t sys_socketpair(const struct arguments *arguments)
{
    uint32_t type = (uint32_t)arguments->at[1];
    struct file *ends[2];
    if (arguments->at[0] != AF_UNIX) {
        return -EAFNOSUPPORT;
    }
    if ((type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) != SOCK_STREAM) {
        return -ESOCKTNOSUPPORT;
    }
    if (arguments->at[2] != 0 && arguments->at[2] != AF_UNIX) {
        return -EPROTONOSUPPORT;
    }
    int64_t result = socket_pair_create(type & SOCK_NONBLOCK, ends);
    return result < 0 ? result : install_two(ends, (type & SOCK_CLOEXEC) != 0, arguments->at[3]);
}

/* NULL, and -EBADF or -ENOTSOCK in *result. */
static struct file *socket_at(const struct arguments *arguments, int64_t *result)
{
    struct file *file = file_at(arguments, 0);
    if (file != NULL && is_socket(file)) {
        return file;
    }
    *result = file == NULL ? -EBADF : -ENOTSOCK;
    file_put(file);
    return NULL;
}

/* Goes on after a whole piece only; what was done counts more than an error behind it. */
static int64_t receive(struct file *socket, uint8_t *piece, const struct arguments *arguments)
{
    uint64_t length = arguments->at[2] < PATH_BUFFER_SIZE ? arguments->at[2] : PATH_BUFFER_SIZE;
    int64_t result = socket_receive(socket, piece, length, (uint32_t)arguments->at[3]);
    if (result > 0) {
        int64_t copied = copy_to_user(arguments->at[1], piece, (size_t)result);
        return copied < 0 ? copied : result;
    }
    return result;
}

static int64_t send(struct file *socket, uint8_t *piece, const struct arguments *arguments)
{
    uint64_t done = 0;
    int64_t result = 0;
    while (done < arguments->at[2] && result >= 0) {
        uint64_t left = arguments->at[2] - done;
        size_t length = left < PATH_BUFFER_SIZE ? left : PATH_BUFFER_SIZE;
        result = copy_from_user(piece, arguments->at[1] + done, length);
        if (result >= 0) {
            result = socket_send(socket, piece, length, (uint32_t)arguments->at[3]);
        }
        if (result >= 0) {
            done += (uint64_t)result;
            if ((size_t)result < length) {
                break;
            }
        }
    }
    return done > 0 ? (int64_t)done : result;
}

typedef int64_t message_call(struct file *socket, uint8_t *piece, const struct arguments *arguments);

static int64_t with_buffer(const struct arguments *arguments, uint32_t known_flags, message_call *call)
{
    int64_t result;
    struct file *socket = socket_at(arguments, &result);
    if (socket == NULL) {
        return result;
    }
    uint8_t *piece = NULL;
    if ((arguments->at[3] & ~(uint64_t)known_flags) != 0) {
        result = -EOPNOTSUPP;
    } else if ((piece = buffer_take(&path_buffers)) == NULL) {
        result = -ENOMEM;
    } else {
        result = call(socket, piece, arguments);
        buffer_give(&path_buffers, piece);
    }
    file_put(socket);
    return result;
}

int64_t sys_recvfrom(const struct arguments *arguments)
{
    uint32_t no_address = 0;
    if (arguments->at[4] != 0 && arguments->at[5] != 0) {
        int64_t result = copy_to_user(arguments->at[5], &no_address, sizeof(no_address));
        if (result < 0) {
            return result;
        }
    }
    return with_buffer(arguments, MSG_PEEK | MSG_DONTWAIT | MSG_NOSIGNAL, receive);
}

int64_t sys_sendto(const struct arguments *arguments)
{
    return arguments->at[4] != 0 ? -EISCONN : with_buffer(arguments, MSG_DONTWAIT | MSG_NOSIGNAL, send);
}

int64_t sys_shutdown(const struct arguments *arguments)
{
    int64_t result;
    struct file *socket = socket_at(arguments, &result);
    if (socket != NULL) {
        result = socket_shutdown(socket, (uint32_t)arguments->at[1]);
        file_put(socket);
    }
    return result;
}

/* A value of a size that the application gives and is told: what does not fit is cut off (getsockopt(2)). */
static int64_t give(user_address to, user_address size_at, const void *value, uint32_t size)
{
    uint32_t room;
    int64_t result = copy_from_user(&room, size_at, sizeof(room));
    if (result < 0) {
        return result;
    }
    if (room > INT32_MAX) {
        return -EINVAL;
    }
    result = copy_to_user(to, value, room < size ? room : size);
    return result < 0 ? result : copy_to_user(size_at, &size, sizeof(size));
}

/* Neither end has a name. */
static int64_t name_call(const struct arguments *arguments)
{
    static const uint16_t family = AF_UNIX;
    int64_t result;
    struct file *socket = socket_at(arguments, &result);
    if (socket != NULL) {
        result = give(arguments->at[1], arguments->at[2], &family, sizeof(family));
        file_put(socket);
    }
    return result;
}

int64_t sys_getsockname(const struct arguments *arguments)
{
    return name_call(arguments);
}

int64_t sys_getpeername(const struct arguments *arguments)
{
    return name_call(arguments);
}

static int64_t option_value(uint64_t level, uint64_t option)
{
    if (level != SOL_SOCKET) {
        return -EOPNOTSUPP;
    }
    switch (option) {
    case SO_TYPE:
        return SOCK_STREAM;
    case SO_DOMAIN:
        return AF_UNIX;
    case SO_SNDBUF:
    case SO_RCVBUF:
        return BUFFER_SIZE;
    case SO_ERROR:
    case SO_ACCEPTCONN:
    case SO_PROTOCOL:
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

int64_t sys_getsockopt(const struct arguments *arguments)
{
    int64_t result;
    struct file *socket = socket_at(arguments, &result);
    if (socket == NULL) {
        return result;
    }
    result = option_value(arguments->at[1], arguments->at[2]);
    if (result >= 0) {
        int32_t value = (int32_t)result;
        result = give(arguments->at[3], arguments->at[4], &value, sizeof(value));
    }
    file_put(socket);
    return result;
}

/* The sizes of buffers are a wish (socket(7)). */
int64_t sys_setsockopt(const struct arguments *arguments)
{
    int64_t result;
    struct file *socket = socket_at(arguments, &result);
    if (socket == NULL) {
        return result;
    }
    file_put(socket);
    uint64_t option = arguments->at[2];
    if (arguments->at[1] != SOL_SOCKET) {
        return -EOPNOTSUPP;
    }
    return option == SO_SNDBUF || option == SO_RCVBUF ? 0 : -ENOPROTOOPT;
}
