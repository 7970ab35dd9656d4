/* Socket options: those that mean the same for every family are served here, the others by the family. */
#include "net/socket.h"

#define NS_PER_MICROSECOND 1000U

/* An int that the LibOS knows by itself; false: it is none of those. */
static bool known_number(const struct socket *socket, uint32_t name, int32_t *value)
{
    switch (name) {
    case SO_TYPE:
        *value = socket->type;
        return true;
    case SO_DOMAIN:
        *value = socket->domain;
        return true;
    case SO_PROTOCOL:
        *value = (int32_t)socket->protocol;
        return true;
    default:
        return false;
    }
}

static uint64_t *timeout_of(struct socket *socket, uint32_t name)
{
    switch (name) {
    case SO_RCVTIMEO:
    case SO_RCVTIMEO_NEW:
        return &socket->receive_timeout_ns;
    case SO_SNDTIMEO:
    case SO_SNDTIMEO_NEW:
        return &socket->send_timeout_ns;
    default:
        return NULL;
    }
}

/* sock_set_timeout() of Linux: nothing is "no limit", less than nothing is "do not wait". */
static int64_t set_timeout(uint64_t *timeout_ns, const void *value, uint32_t size)
{
    struct timeval time;
    if (size < sizeof(time)) {
        return -EINVAL;
    }
    memcpy(&time, value, sizeof(time));
    if (time.microseconds < 0 || time.microseconds >= 1000000) {
        return -EDOM;
    }
    bool is_long = time.seconds >= INT64_MAX / (int64_t)NS_PER_SECOND - 1;
    if (time.seconds < 0) {
        *timeout_ns = 0;
    } else if (is_long || (time.seconds == 0 && time.microseconds == 0)) {
        *timeout_ns = NO_TIMEOUT;
    } else {
        *timeout_ns = (uint64_t)time.seconds * NS_PER_SECOND + (uint64_t)time.microseconds * NS_PER_MICROSECOND;
    }
    return 0;
}

static int64_t get_option(struct socket *socket, uint32_t level, uint32_t name, void *value, uint32_t *size)
{
    if (level == SOL_SOCKET) {
        int32_t number;
        const uint64_t *timeout_ns = timeout_of(socket, name);
        if (known_number(socket, name, &number)) {
            memcpy(value, &number, *size = sizeof(number));
            return 0;
        }
        if (timeout_ns) {
            uint64_t ns = *timeout_ns == NO_TIMEOUT ? 0 : *timeout_ns;
            const struct timeval time = {
                .seconds = (int64_t)(ns / NS_PER_SECOND), .microseconds = (int64_t)(ns % NS_PER_SECOND / NS_PER_MICROSECOND)};
            memcpy(value, &time, *size = sizeof(time));
            return 0;
        }
    }
    return !socket->operations->get_option ? -EOPNOTSUPP
                                           : socket->operations->get_option(socket, level, name, value, size);
}

static int64_t set_option(struct socket *socket, uint32_t level, uint32_t name, const void *value, uint32_t size)
{
    if (level == SOL_SOCKET) {
        int32_t number;
        uint64_t *timeout_ns = timeout_of(socket, name);
        if (known_number(socket, name, &number)) {
            return -ENOPROTOOPT;
        }
        if (timeout_ns) {
            return set_timeout(timeout_ns, value, size);
        }
    }
    return !socket->operations->set_option ? -EOPNOTSUPP
                                           : socket->operations->set_option(socket, level, name, value, size);
}

/* A value that is longer than the application's room is cut (getsockopt(2)). */
static int64_t give_option(struct file *file, struct socket *socket, const struct arguments *arguments)
{
    (void)file;
    uint8_t value[OPTION_SIZE_MAX] __attribute__((aligned(8))) = {0};
    int32_t room;
    if (copy_from_user(&room, arguments->at[4], sizeof(room)) < 0) {
        return -EFAULT;
    }
    if (room < 0) {
        return -EINVAL;
    }
    uint32_t size = (uint32_t)room < sizeof(value) ? (uint32_t)room : (uint32_t)sizeof(value);
    int64_t result = get_option(socket, (uint32_t)arguments->at[1], (uint32_t)arguments->at[2], value, &size);
    if (result < 0) {
        return result;
    }
    size = size < (uint32_t)room ? size : (uint32_t)room;
    result = copy_to_user(arguments->at[3], value, size);
    return result < 0 ? result : copy_to_user(arguments->at[4], &size, sizeof(size));
}

int64_t sys_getsockopt(const struct arguments *arguments)
{
    return on_socket(arguments, give_option);
}

/* sk_setsockopt() of Linux, before the value is taken in. */
static bool is_too_short(uint32_t level, uint32_t name, uint32_t size)
{
    return level == SOL_SOCKET && name != SO_BINDTODEVICE && size < sizeof(int32_t);
}

/* No option that is served is longer than OPTION_SIZE_MAX; what stands behind a value is not looked at, as in Linux. */
static int64_t take_option(struct file *file, struct socket *socket, const struct arguments *arguments)
{
    (void)file;
    uint8_t value[OPTION_SIZE_MAX] __attribute__((aligned(8))) = {0};
    int32_t length = (int32_t)arguments->at[4];
    if (length < 0) {
        return -EINVAL;
    }
    uint32_t size = (uint32_t)length < sizeof(value) ? (uint32_t)length : (uint32_t)sizeof(value);
    if (is_too_short((uint32_t)arguments->at[1], (uint32_t)arguments->at[2], size)) {
        return -EINVAL;
    }
    if (copy_from_user(value, arguments->at[3], size) < 0) {
        return -EFAULT;
    }
    return set_option(socket, (uint32_t)arguments->at[1], (uint32_t)arguments->at[2], value, size);
}

int64_t sys_setsockopt(const struct arguments *arguments)
{
    return on_socket(arguments, take_option);
}
