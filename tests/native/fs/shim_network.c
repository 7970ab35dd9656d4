/* The network: there is none here. */
#include "shim_libos.h"

int host_socket(uint32_t family, uint32_t type, uint32_t protocol)
{
    (void)family, (void)type, (void)protocol;
    return -EAFNOSUPPORT;
}

int host_bind(int fd, const struct host_name *name)
{
    (void)fd, (void)name;
    return -EBADF;
}

int host_connect(int fd, const struct host_name *name)
{
    (void)fd, (void)name;
    return -EBADF;
}

int host_listen(int fd, int backlog)
{
    (void)fd, (void)backlog;
    return -EBADF;
}

int host_accept(int fd, struct host_name *peer)
{
    (void)fd, (void)peer;
    return -EBADF;
}

int host_socket_name(int fd, bool is_peer, struct host_name *name)
{
    (void)fd, (void)is_peer, (void)name;
    return -EBADF;
}

int64_t host_send(int fd, struct host_message *message, const void *data, size_t length, uint32_t flags)
{
    (void)fd, (void)message, (void)data, (void)length, (void)flags;
    return -EBADF;
}

int64_t host_receive(int fd, struct host_message *message, void *data, size_t length, uint32_t flags)
{
    (void)fd, (void)message, (void)data, (void)length, (void)flags;
    return -EBADF;
}

int host_shutdown(int fd, uint32_t how)
{
    (void)fd, (void)how;
    return -EBADF;
}

int64_t host_option_get(int fd, uint32_t level, uint32_t name, void *value, size_t room)
{
    (void)fd, (void)level, (void)name, (void)value, (void)room;
    return -EBADF;
}

int host_option_set(int fd, uint32_t level, uint32_t name, const void *value, size_t length)
{
    (void)fd, (void)level, (void)name, (void)value, (void)length;
    return -EBADF;
}

int64_t host_interfaces(struct host_interface *interfaces, size_t count)
{
    (void)interfaces, (void)count;
    return 0;
}

int host_events_create(void)
{
    return -EMFILE;
}

int host_events_change(int events, uint32_t operation, int fd, uint32_t wanted)
{
    (void)events, (void)operation, (void)fd, (void)wanted;
    return -EBADF;
}

int host_events_wait(int events, struct host_event *found, size_t room, uint64_t timeout_ns, struct host_ahead *ahead)
{
    (void)events, (void)found, (void)room, (void)timeout_ns, (void)ahead;
    return -EBADF;
}

/* Nothing is on its way: who is told otherwise waits, as for any answer that does not come. */
uint32_t host_aheads(void)
{
    return 0;
}

uint64_t host_activity(void)
{
    return 0;
}

void host_note_activity(void)
{
}

uint64_t host_slept_until(void)
{
    return 0;
}

void host_note_sleep(uint64_t timeout_ns)
{
    (void)timeout_ns;
}
