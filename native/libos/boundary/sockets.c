/* Sockets of the host, and its epoll. */
#include "boundary/ocall.h"

/* Names come from outside: their length is looked at once. */
static int take_name(struct host_name *name, int result)
{
    if (result >= 0 && name->length > HOST_NAME_SIZE) {
        log_line(LOG_ERROR, "the host named a socket with %u bytes", name->length);
        return -EPERM;
    }
    return result;
}

int host_socket(uint32_t family, uint32_t type, uint32_t protocol)
{
    return (int)ocall_make(NULL, OCALL_SOCKET, family, type, protocol, 0);
}

static int call_with_name(enum ocall number, int fd, const struct host_name *name)
{
    exchange_put(0, name->bytes, name->length);
    return (int)ocall_make(NULL, number, (uint64_t)fd, name->length, 0, 0);
}

int host_bind(int fd, const struct host_name *name)
{
    return call_with_name(OCALL_SOCKET_BIND, fd, name);
}

int host_connect(int fd, const struct host_name *name)
{
    return call_with_name(OCALL_SOCKET_CONNECT, fd, name);
}

int host_listen(int fd, int backlog)
{
    return (int)ocall_make(NULL, OCALL_SOCKET_LISTEN, (uint64_t)fd, (uint64_t)backlog, 0, 0);
}

int host_accept(int fd, struct host_name *peer)
{
    int accepted = (int)ocall_make(peer, OCALL_SOCKET_ACCEPT, (uint64_t)fd, sizeof(*peer), 0, 0);
    int result = take_name(peer, accepted);
    if (result < 0 && accepted >= 0) {
        host_close(accepted);
    }
    return result;
}

int host_socket_name(int fd, bool is_peer, struct host_name *name)
{
    return take_name(name, (int)ocall_make(name, OCALL_SOCKET_NAME, (uint64_t)fd, is_peer, sizeof(*name), 0));
}

#define HEADER_SIZE sizeof(struct host_message)
#define HEADER_PLAIN offsetof(struct host_message, control)

int64_t host_send(int fd, struct host_message *message, const void *data, size_t length, uint32_t flags)
{
    exchange_put(0, message, HEADER_PLAIN + message->control_length);
    exchange_put(HEADER_SIZE, data, length);
    int64_t result = ocall_make(NULL, OCALL_SOCKET_SEND, (uint64_t)fd, length, flags, 0);
    if (result >= 0) {
        message->input = ((const volatile struct host_message *)exchange_data())->input;
    }
    return result;
}

int64_t host_receive(int fd, struct host_message *message, void *data, size_t length, uint32_t flags)
{
    uint32_t control_room = message->control_length;
    exchange_put(0, message, HEADER_PLAIN);
    int64_t result = ocall_make(NULL, OCALL_SOCKET_RECEIVE, (uint64_t)fd, length, flags, 0);
    if (result < 0) {
        return result;
    }
    const uint8_t *answer = exchange_data();
    memcpy(message, answer, HEADER_PLAIN);
    if (message->name.length > HOST_NAME_SIZE || message->control_length > control_room) {
        log_line(LOG_ERROR, "the host received a name of %u bytes and %u bytes of control messages", message->name.length, message->control_length);
        return -EPERM;
    }
    memcpy(message->control, answer + HEADER_PLAIN, message->control_length);
    memcpy(data, answer + HEADER_SIZE, (size_t)result);
    return result;
}

int host_shutdown(int fd, uint32_t how)
{
    return (int)ocall_make(NULL, OCALL_SOCKET_SHUT, (uint64_t)fd, how, 0, 0);
}

int64_t host_option_get(int fd, uint32_t level, uint32_t name, void *value, size_t room)
{
    return ocall_make(value, OCALL_OPTION_GET, (uint64_t)fd, (uint64_t)level << 32 | name, at_most_data(room), 0);
}

int host_option_set(int fd, uint32_t level, uint32_t name, const void *value, size_t length)
{
    if (length > EXCHANGE_DATA_SIZE) {
        return -EINVAL;
    }
    exchange_put(0, value, length);
    return (int)ocall_make(NULL, OCALL_OPTION_SET, (uint64_t)fd, (uint64_t)level << 32 | name, length, 0);
}

int host_events_create(void)
{
    return (int)ocall_make(NULL, OCALL_EVENTS_CREATE, 0, 0, 0, 0);
}

int host_events_change(int events, uint32_t operation, int fd, uint32_t wanted)
{
    return (int)ocall_make(NULL, OCALL_EVENTS_CHANGE, (uint64_t)events, operation, (uint64_t)fd, wanted);
}

/* What was read ahead is no more than there is room for, whatever the host says. */
static void take_ahead(struct host_ahead *ahead)
{
    const struct host_ahead *answer = exchange_data();
    memcpy(ahead, answer, offsetof(struct host_ahead, bytes));
    if (ahead->length > HOST_AHEAD_SIZE) {
        log_line(LOG_ERROR, "the host has read %u bytes ahead", ahead->length);
        ahead->length = 0;
    }
    memcpy(ahead->bytes, answer->bytes, ahead->length);
}

int host_events_wait(int events, struct host_event *found, size_t room, uint64_t timeout_ns, struct host_ahead *ahead)
{
    int result = (int)ocall_make(NULL, OCALL_EVENTS_WAIT, (uint64_t)events, room, timeout_ns, ahead != NULL);
    if (result > 0) {
        memcpy(found, (const struct host_ahead *)exchange_data() + 1, (size_t)result * sizeof(*found));
    }
    if (ahead && result > 0) {
        take_ahead(ahead);
    } else if (ahead) {
        ahead->length = 0;
    }
    return result == -EINTR && !attention_is_pending() ? 0 : result;
}

uint32_t host_aheads(void)
{
    const volatile struct exchange *exchange = current_thread()->exchange;
    return exchange->aheads;
}

int64_t host_interfaces(struct host_interface *interfaces, size_t count)
{
    size_t room = at_most_data(count * sizeof(*interfaces));
    int64_t result = ocall_make(interfaces, OCALL_INTERFACES, room, 0, 0, 0);
    return result < 0 ? result : result / (int64_t)sizeof(*interfaces);
}
