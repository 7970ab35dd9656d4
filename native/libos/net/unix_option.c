/* Options of AF_UNIX sockets (unix(7), socket(7)). */
#include "net/unix.h"

/* Sizes are clamped and doubled, as Linux does (sock_setsockopt()). */
static uint32_t buffer_size(int32_t wanted)
{
    uint32_t size = wanted < 0 || (uint32_t)wanted > BUFFER_DEFAULT ? BUFFER_DEFAULT : (uint32_t)wanted;
    return size * 2 < BUFFER_SMALLEST ? BUFFER_SMALLEST : size * 2;
}

/* Those that mean nothing here, and are told again. */
static bool is_switch(uint32_t name)
{
    static const uint8_t switches[] = {SO_DEBUG, SO_REUSEADDR, SO_DONTROUTE, SO_BROADCAST, SO_KEEPALIVE, SO_OOBINLINE,
        SO_REUSEPORT, SO_TIMESTAMP, SO_PASSSEC};
    return memchr(switches, (int)name, sizeof(switches)) != NULL && name <= UINT8_MAX;
}

static int64_t get_number(struct endpoint *endpoint, uint32_t name, int32_t *number)
{
    struct inbox *in = endpoint->in;
    switch (name) {
    case SO_SNDBUF:
        *number = (int32_t)endpoint->send_size;
        return 0;
    case SO_RCVBUF:
        *number = (int32_t)endpoint->receive_size;
        return 0;
    case SO_PASSCRED:
        *number = endpoint->passes_credentials;
        return 0;
    case SO_ERROR:
        mutex_lock(&in->lock);
        *number = in->error;
        in->error = 0;
        mutex_unlock(&in->lock);
        return 0;
    case SO_ACCEPTCONN:
        mutex_lock(&in->lock);
        *number = in->listens;
        mutex_unlock(&in->lock);
        return 0;
    default:
        *number = (endpoint->switches & 1ULL << (name & 63)) != 0;
        return is_switch(name) ? 0 : -ENOPROTOOPT;
    }
}

int64_t unix_get_option(struct socket *socket, uint32_t level, uint32_t name, void *value, uint32_t *size)
{
    struct endpoint *endpoint = endpoint_of(socket);
    int32_t number;
    if (level != SOL_SOCKET) {
        return -EOPNOTSUPP;
    }
    if (name == SO_PEERCRED) {
        mutex_lock(&endpoint->lock);
        memcpy(value, &endpoint->peer, *size = sizeof(endpoint->peer));
        mutex_unlock(&endpoint->lock);
        return 0;
    }
    int64_t result = get_number(endpoint, name, &number);
    if (result == 0) {
        memcpy(value, &number, *size = sizeof(number));
    }
    return result;
}

int64_t unix_set_option(struct socket *socket, uint32_t level, uint32_t name, const void *value, uint32_t size)
{
    struct endpoint *endpoint = endpoint_of(socket);
    int32_t number;
    if (level != SOL_SOCKET) {
        return -EOPNOTSUPP;
    }
    if (size < sizeof(number)) {
        return -EINVAL;
    }
    memcpy(&number, value, sizeof(number));
    switch (name) {
    case SO_SNDBUF:
        endpoint->send_size = buffer_size(number);
        break;
    case SO_RCVBUF:
        endpoint->receive_size = buffer_size(number);
        break;
    case SO_PASSCRED:
        endpoint->passes_credentials = number != 0;
        break;
    default:
        if (!is_switch(name)) {
            return -ENOPROTOOPT;
        }
        mutex_lock(&endpoint->lock);
        endpoint->switches &= ~(1ULL << name);
        endpoint->switches |= (uint64_t)(number != 0) << name;
        mutex_unlock(&endpoint->lock);
    }
    return 0;
}
