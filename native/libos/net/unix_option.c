/* Options of AF_UNIX sockets (unix(7), socket(7)). */
#include "net/unix.h"

#define PRIORITY_MAX 6 /* without CAP_NET_ADMIN (socket(7)) */

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
        SO_REUSEPORT, SO_TIMESTAMP, SO_TIMESTAMPNS, SO_PASSSEC, SO_RXQ_OVFL};
    return memchr(switches, (int)name, sizeof(switches)) && name <= UINT8_MAX;
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
    case SO_PRIORITY:
        *number = endpoint->priority;
        return 0;
    case SO_RCVLOWAT:
    case SO_SNDLOWAT:
        *number = 1;
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
    if (name == SO_LINGER) {
        mutex_lock(&endpoint->lock);
        memcpy(value, &endpoint->linger, *size = sizeof(endpoint->linger));
        mutex_unlock(&endpoint->lock);
        return 0;
    }
    int64_t result = get_number(endpoint, name, &number);
    if (result == 0) {
        memcpy(value, &number, *size = sizeof(number));
    }
    return result;
}

/* Remembered: nothing of a Unix socket is on its way when it is closed. */
static int64_t set_linger(struct endpoint *endpoint, const void *value, uint32_t size)
{
    struct linger linger;
    if (size < sizeof(linger)) {
        return -EINVAL;
    }
    memcpy(&linger, value, sizeof(linger));
    mutex_lock(&endpoint->lock);
    endpoint->linger.is_on = linger.is_on != 0;
    endpoint->linger.seconds = linger.is_on != 0 ? linger.seconds : endpoint->linger.seconds;
    mutex_unlock(&endpoint->lock);
    return 0;
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
        event_source_moved(&endpoint->in->source); /* there may be room now */
        break;
    case SO_RCVBUF:
        endpoint->receive_size = buffer_size(number);
        break;
    case SO_PASSCRED:
        endpoint->passes_credentials = number != 0;
        break;
    case SO_LINGER:
        return set_linger(endpoint, value, size);
    case SO_PRIORITY:
        if (number < 0 || number > PRIORITY_MAX) {
            return -EPERM;
        }
        endpoint->priority = number;
        break;
    case SO_RCVLOWAT:
        return number == 0 || number == 1 ? 0 : -ENOPROTOOPT;
    default:
        if (!is_switch(name)) {
            return -ENOPROTOOPT;
        }
        mutex_lock(&endpoint->lock);
        if (name == SO_TIMESTAMP || name == SO_TIMESTAMPNS) { /* one or the other */
            endpoint->switches &= ~(1ULL << SO_TIMESTAMP | 1ULL << SO_TIMESTAMPNS);
        }
        endpoint->switches &= ~(1ULL << name);
        endpoint->switches |= (uint64_t)(number != 0) << name;
        mutex_unlock(&endpoint->lock);
    }
    return 0;
}
