#include "lying_network.h"

uint64_t random_state;

uint64_t random_below(uint64_t limit) /* xorshift64* */
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (random_state * 2685821657736338717ULL >> 16) % limit;
}

static void fill(void *to, size_t size)
{
    for (size_t at = 0; at < size; at++) {
        ((uint8_t *)to)[at] = (uint8_t)random_below(256);
    }
}

struct told told = {.result = NOTHING_TOLD};
uint32_t closed;
bool is_ready;

static int64_t answer(int64_t least, int64_t most)
{
    static const int64_t errors[] = {EAGAIN, EINTR, EINPROGRESS, ECONNRESET, EBADF, ENOTSOCK, EPIPE, EFAULT, 133};
    int64_t result = told.result;
    told.result = NOTHING_TOLD;
    if (result != NOTHING_TOLD) {
        return result;
    }
    if (random_below(4) == 0) {
        return -errors[random_below(ARRAY_LENGTH(errors))];
    }
    return random_below(4) == 0 ? most : least + (int64_t)random_below((uint64_t)(most - least) + 1);
}

/* Few numbers, so that several sockets have the same one. */
static int descriptor_answer(void)
{
    int64_t result = answer(FIRST_FD, FIRST_FD + 4);
    return (int)(result > 0 && random_below(64) == 0 ? INT32_MAX : result);
}

static void lie_in_name(struct host_name *name)
{
    static const uint16_t families[] = {AF_INET, AF_INET6, AF_UNSPEC, AF_UNIX, AF_NETLINK, 0xFFFF};
    static const uint32_t lengths[] = {0, 1, 2, 8, 16, 24, HOST_NAME_SIZE};
    if (told.name.length > 0) {
        *name = told.name;
        told.name.length = 0;
        return;
    }
    uint16_t family = random_below(2) ? AF_INET : families[random_below(ARRAY_LENGTH(families))];
    fill(name->bytes, sizeof(name->bytes));
    memcpy(name->bytes, &family, sizeof(family));
    name->length = random_below(2) ? lengths[random_below(ARRAY_LENGTH(lengths))] : family == AF_INET6 ? HOST_NAME_SIZE : 16;
}

int host_socket(uint32_t family, uint32_t type, uint32_t protocol)
{
    (void)family, (void)type, (void)protocol;
    return descriptor_answer();
}

int host_bind(int fd, const struct host_name *name)
{
    (void)fd;
    NEED(name->length <= HOST_NAME_SIZE);
    return (int)answer(0, 0);
}

int host_connect(int fd, const struct host_name *name)
{
    return host_bind(fd, name);
}

int host_listen(int fd, int backlog)
{
    (void)fd, (void)backlog;
    return (int)answer(0, 0);
}

int host_accept(int fd, struct host_name *peer)
{
    (void)fd;
    lie_in_name(peer);
    return descriptor_answer();
}

int host_socket_name(int fd, bool is_peer, struct host_name *name)
{
    (void)fd, (void)is_peer;
    lie_in_name(name);
    return (int)answer(0, 0);
}

int64_t host_send(int fd, struct host_message *message, const void *data, size_t length, uint32_t flags)
{
    volatile uint8_t sum = 0;
    (void)fd, (void)flags;
    NEED(message->name.length <= HOST_NAME_SIZE && message->control_length <= HOST_CONTROL_SIZE);
    for (size_t at = 0; at < length; at++) {
        sum = (uint8_t)(sum + ((const uint8_t *)data)[at]);
    }
    message->input = (uint32_t)random_below(4);
    return answer(0, (int64_t)length);
}

int64_t host_receive(int fd, struct host_message *message, void *data, size_t length, uint32_t flags)
{
    uint32_t room = message->control_length;
    bool is_told = told.result != NOTHING_TOLD;
    int64_t result = is_ready ? -EAGAIN : answer(0, (int64_t)length);
    (void)fd, (void)flags;
    NEED(room <= HOST_CONTROL_SIZE);
    fill(message, sizeof(*message));
    lie_in_name(&message->name);
    message->control_length = (uint32_t)random_below(room + 1);
    message->full_length = is_told ? 0 : message->full_length & (random_below(8) ? 0xFFFF : ~0U);
    if (message->control_length >= 16) { /* one that looks right: struct cmsghdr */
        const uint64_t size = (uint64_t[]){message->control_length, 16 + 4, 16 + 12, random_below(300)}[random_below(4)];
        const uint32_t level = (uint32_t[]){SOL_SOCKET, 0, 0, 41}[random_below(4)], type = (uint32_t[]){SO_TIMESTAMPNS, 8, 8, 67}[random_below(4)];
        memcpy(message->control, &size, sizeof(size));
        memcpy(message->control + 8, &level, sizeof(level));
        memcpy(message->control + 12, &type, sizeof(type));
    }
    fill(data, result > 0 ? (size_t)result : 0);
    return result;
}

int host_shutdown(int fd, uint32_t how)
{
    (void)fd, (void)how;
    return (int)answer(0, 0);
}

int64_t host_option_get(int fd, uint32_t level, uint32_t name, void *value, size_t room)
{
    int64_t result = answer(0, (int64_t)room);
    (void)fd, (void)level, (void)name;
    fill(value, result > 0 ? (size_t)result : 0);
    return result;
}

int host_option_set(int fd, uint32_t level, uint32_t name, const void *value, size_t length)
{
    (void)fd, (void)level, (void)name, (void)value, (void)length;
    return (int)answer(0, 0);
}

int64_t host_interfaces(struct host_interface *interfaces, size_t count)
{
    int64_t result = answer(0, count < 8 ? (int64_t)count : 8);
    fill(interfaces, result > 0 ? (size_t)result * sizeof(*interfaces) : 0);
    for (int64_t at = 0; at < result && random_below(4); at++) { /* some look right at first */
        memcpy(interfaces[at].name, "eth0", random_below(2) ? 5 : 4);
        interfaces[at].family = (uint16_t[]){0, AF_INET, AF_INET6}[random_below(3)];
    }
    return result;
}

int host_events_create(void)
{
    return descriptor_answer();
}

int host_events_change(int events, uint32_t operation, int fd, uint32_t wanted)
{
    (void)events, (void)operation, (void)fd, (void)wanted;
    return (int)answer(0, 0);
}

int host_events_wait(int events, struct host_event *found, size_t room, uint64_t timeout_ns, struct host_ahead *ahead)
{
    int64_t result = answer(0, (int64_t)(room < 8 ? room : 8));
    (void)events, (void)timeout_ns;
    for (int64_t at = 0; at < result; at++) {
        int64_t fd = random_below(8) ? FIRST_FD + (int64_t)random_below(6) : (int32_t)random_below(1ULL << 32);
        found[at] = (struct host_event){.fd = (int32_t)fd, .events = (uint32_t)random_below(1ULL << 32)};
    }
    if (ahead != NULL) {
        *ahead = (struct host_ahead){.socket = random_below(64), .input = (uint32_t)random_below(4)};
        ahead->length = result > 0 && random_below(2) ? 1 + (uint32_t)random_below(HOST_AHEAD_SIZE) : 0;
        fill(ahead->bytes, ahead->length);
    }
    return (int)result;
}

/* What was not asked for is cut off by boundary/. */
int host_poll(struct host_poll *entries, size_t count, uint64_t timeout_ns)
{
    int ready = 0;
    (void)timeout_ns;
    for (size_t at = 0; at < count; at++) {
        uint32_t lie = is_ready ? 0xFFFF : (uint32_t)random_below(0x10000);
        entries[at].revents = (uint16_t)(lie & (entries[at].events | POLLERR | POLLHUP | POLLNVAL));
        ready += entries[at].revents != 0;
    }
    return random_below(8) || is_ready ? ready : (int)answer(0, (int64_t)count);
}

void host_close(int fd)
{
    (void)fd;
    closed++;
}

static uint64_t activity;

/* Nothing is on its way: who is told otherwise waits, as for any answer that does not come. */
uint32_t host_aheads(void)
{
    return 0;
}

uint64_t host_activity(void)
{
    return activity += random_below(4) == 0;
}

void host_note_activity(void)
{
    activity++;
}

uint64_t host_slept_until(void)
{
    return 0;
}

void host_note_sleep(uint64_t timeout_ns)
{
    (void)timeout_ns;
}
