/* One call of each function of the boundary that makes an OCALL. */
#include "core_calls.h"

#define PAGES 0x30000000ULL
#define PAGES_END 0x70000000ULL

uint64_t next_page = PAGES;

static const char path[] = "some/path";
#define PATH path, sizeof(path) - 1
static const uint8_t public_bytes[4096] = {'p', 'u', 'b', 'l', 'i', 'c'};
#define POLLS 8U

static void poll(struct subject *subject)
{
    struct host_poll *entries = (struct host_poll *)subject->to, before[POLLS];
    size_t count = random_below(POLLS + 1);
    for (size_t index = 0; index < count; index++) {
        entries[index] = (struct host_poll){.fd = (int32_t)index, .events = (uint16_t)(1 << random_below(3))};
    }
    memcpy(before, entries, count * sizeof(*entries));
    subject->most = (int64_t)count;
    subject->result = host_poll(entries, count, 0);
    subject->changed = count * sizeof(*entries);
    for (size_t index = 0; index < count; index++) {
        need(entries[index].fd == before[index].fd && entries[index].events == before[index].events, "poll changed what was asked for");
        need(!(entries[index].revents & ~(before[index].events | 0x38)), "revents that nobody asked for");
    }
}

static void ioctl(struct subject *subject)
{
    size_t in = subject->room < 64 ? subject->room : 64;
    memset(subject->to, 'p', in);
    subject->most = INT32_MAX;
    subject->result = host_ioctl(1, 0x5401, subject->to, in, subject->room);
    subject->changed = subject->result >= 0 && subject->room > in ? subject->room : in;
}

/* A page's life. When the host has lied in it, nothing is known of the page any more: the next one is taken. */
static void page_life(enum ocall number)
{
    volatile uint64_t *page = (volatile uint64_t *)next_page;
    uint64_t address = next_page;
    next_page += next_page < PAGES_END ? PAGE_SIZE : 0;
    if (host_memory_add(address, PAGE_SIZE) != 0 || enclave_accept(address, PAGE_SIZE) != 0) {
        return;
    }
    need(page[0] == 0 && page[511] == 0, "a new page is not zero");
    page[0] = SECRET;
    if (number == OCALL_MEMORY_PROTECT) {
        if (host_memory_restrict(address, PAGE_SIZE, PAGE_READ) != 0 || enclave_accept_restricted(address, PAGE_SIZE, PAGE_READ) != 0) {
            return;
        }
        need(page[0] == SECRET, "a page has changed with its rights");
    }
    if (host_memory_trim(address, PAGE_SIZE) == 0 && enclave_accept_trimmed(address, PAGE_SIZE) == 0) {
        host_memory_remove(address, PAGE_SIZE);
    }
}

static void count(struct subject *subject, int64_t result, size_t most)
{
    subject->result = result;
    subject->most = (int64_t)most;
}

static void give(struct subject *subject, int64_t result, size_t most)
{
    count(subject, result, most);
    subject->changed = result > 0 ? (size_t)result : 0;
}

static void stat(struct subject *subject, int result)
{
    count(subject, result, 0);
    subject->changed = result == 0 ? sizeof(struct host_stat) : 0;
}

static void descriptor(struct subject *subject, int result)
{
    count(subject, result, INT32_MAX);
    need(result < 0 || result > 2, "a file became a standard stream");
}

static const struct host_name name = {.length = 16, .bytes = {2, 0, 0, 80, 127, 0, 0, 1}};

/* A name is filled in, whatever becomes of it. */
static struct host_name *name_room(struct subject *subject)
{
    subject->changed = sizeof(struct host_name);
    return (struct host_name *)subject->to;
}

static void named(struct subject *subject)
{
    need(subject->result < 0 || ((const struct host_name *)subject->to)->length <= HOST_NAME_SIZE, "a name that is longer than any");
}

static void send_message(struct subject *subject, size_t given)
{
    struct host_message message = {.name = name, .control_length = (uint32_t)random_below(HOST_CONTROL_SIZE + 1), .input = HOST_INPUT_ASK};
    count(subject, host_send(5, &message, public_bytes, given, 0), given);
}

static void receive_message(struct subject *subject)
{
    uint32_t room = (uint32_t)random_below(HOST_CONTROL_SIZE + 1);
    struct host_message message = {.control_length = room, .input = HOST_INPUT_ASK};
    give(subject, host_receive(5, &message, subject->to, subject->room, 0), subject->room);
    need(subject->result < 0 || (message.name.length <= HOST_NAME_SIZE && message.control_length <= room), "a message with more than there is room for");
}

static void events(struct subject *subject)
{
    size_t room = subject->room / sizeof(struct host_event);
    struct host_ahead ahead_room, *ahead = random_below(2) ? &ahead_room : NULL;
    count(subject, host_events_wait(5, (struct host_event *)subject->to, room, 0, ahead), room);
    need(!ahead || (ahead->length <= HOST_AHEAD_SIZE && (subject->result > 0 || ahead->length == 0)), "more was read ahead than there is room for");
    subject->changed = subject->result > 0 ? (size_t)subject->result * sizeof(struct host_event) : 0;
}

int64_t make_ocall(void *argument)
{
    struct subject *s = argument;
    size_t given = s->room < sizeof(public_bytes) ? s->room : sizeof(public_bytes);
    uint64_t end = 0;
    switch (s->number) {
    case OCALL_THREAD_CREATE:
        count(s, host_thread_create(), 0);
        break;
    case OCALL_WAIT:
        s->result = host_wait(random_below(1000));
        need(s->result == 0 || s->result == -ETIMEDOUT || s->result == -EINTR, "host_wait");
        break;
    case OCALL_WAKE:
        host_wake((uint32_t)random_below(8));
        break;
    case OCALL_YIELD:
        host_yield();
        break;
    case OCALL_WORKERS:
        count(s, host_workers(2), 0);
        break;
    case OCALL_CLOCK:
        count(s, (int64_t)host_clock(1), INT64_MAX);
        need(s->result >= 0, "a clock before the beginning");
        break;
    case OCALL_THREAD_CLOCK:
        count(s, (int64_t)host_thread_clock((uint32_t)random_below(8)), INT64_MAX);
        need(s->result >= 0, "a thread's clock before the beginning");
        break;
    case OCALL_LOG:
        host_log(LOG_ERROR, (const char *)public_bytes, given);
        break;
    case OCALL_MEMORY_ADD:
    case OCALL_MEMORY_PROTECT:
    case OCALL_MEMORY_TRIM:
    case OCALL_MEMORY_REMOVE:
        page_life(s->number);
        break;
    case OCALL_READ:
        give(s, host_read(5, s->to, s->room), s->room);
        break;
    case OCALL_WRITE:
        count(s, host_write(1, public_bytes, given), given);
        break;
    case OCALL_PREAD:
        give(s, host_pread(5, s->to, s->room, random_below(1 << 30)), s->room);
        break;
    case OCALL_PWRITE:
        count(s, host_pwrite(5, public_bytes, given, random_below(1 << 30)), given);
        break;
    case OCALL_APPEND:
        count(s, host_append(5, public_bytes, given, &end), given);
        need(s->result <= 0 || (end >= (uint64_t)s->result && end <= INT64_MAX), "an end that cannot be");
        break;
    case OCALL_CLOSE:
        host_close(5);
        break;
    case OCALL_POLL:
        poll(s);
        break;
    case OCALL_STAT:
        stat(s, host_stat(5, (struct host_stat *)s->to));
        break;
    case OCALL_IOCTL:
        ioctl(s);
        break;
    case OCALL_SYNC:
        count(s, host_sync(5), 0);
        break;
    case OCALL_SYNC_ALL:
        count(s, host_sync_all(5), 0);
        break;
    case OCALL_TRUNCATE:
        count(s, host_truncate(5, 100), 0);
        break;
    case OCALL_ALLOCATE:
        count(s, host_allocate(5, 0, 0, 100), 0);
        break;
    case OCALL_IMAGE_READ:
        give(s, host_image_read(IMAGE_ROOTFS, random_below(1 << 20), s->to, s->room), s->room);
        break;
    case OCALL_DATA_OPEN:
        descriptor(s, host_data_open(PATH));
        break;
    case OCALL_DATA_READ:
        give(s, host_data_read(5, random_below(1 << 20), s->to, s->room), s->room);
        break;
    case OCALL_DATA_CLOSE:
        host_data_close(5);
        break;
    case OCALL_VOLUME_OPEN:
        descriptor(s, host_volume_open(PATH, 0, 0));
        break;
    case OCALL_VOLUME_STAT:
        stat(s, host_volume_stat(PATH, (struct host_stat *)s->to));
        break;
    case OCALL_VOLUME_READLINK:
        give(s, host_volume_readlink(PATH, (char *)s->to, s->room), s->room);
        break;
    case OCALL_VOLUME_LIST:
        give(s, host_volume_list(5, s->to, s->room), s->room);
        break;
    case OCALL_VOLUME_MKDIR:
        count(s, host_volume_mkdir(PATH, 0700), 0);
        break;
    case OCALL_VOLUME_MKNOD:
        count(s, host_volume_mknod(PATH, 0010700), 0);
        break;
    case OCALL_VOLUME_UNLINK:
        count(s, host_volume_unlink(PATH, 0), 0);
        break;
    case OCALL_VOLUME_RENAME:
        count(s, host_volume_rename(PATH, PATH), 0);
        break;
    case OCALL_VOLUME_LINK:
        count(s, host_volume_link(PATH, PATH), 0);
        break;
    case OCALL_VOLUME_SYMLINK:
        count(s, host_volume_symlink(PATH, PATH), 0);
        break;
    case OCALL_VOLUME_CHMOD:
        count(s, host_volume_chmod(PATH, 0700), 0);
        break;
    case OCALL_VOLUME_CHOWN:
        count(s, host_volume_chown(PATH, 1, 2), 0);
        break;
    case OCALL_VOLUME_UTIME:
        count(s, host_volume_utime(PATH, 1, 2), 0);
        break;
    case OCALL_XATTR_LIST:
        give(s, host_xattr_list(PATH, (char *)s->to, s->room), s->room);
        break;
    case OCALL_XATTR_GET:
        give(s, host_xattr_get(PATH, "user.name", s->to, s->room), s->room);
        break;
    case OCALL_XATTR_SET:
        count(s, host_xattr_set(PATH, "user.name", public_bytes, given, 0), 0);
        break;
    case OCALL_XATTR_REMOVE:
        count(s, host_xattr_remove(PATH, "user.name"), 0);
        break;
    case OCALL_HOST_FILE:
        give(s, host_file(HOST_FILE_HOSTS, s->to, s->room), s->room);
        break;
    case OCALL_SOCKET:
        descriptor(s, host_socket(2, 1, 0));
        break;
    case OCALL_SOCKET_BIND:
        count(s, host_bind(5, &name), 0);
        break;
    case OCALL_SOCKET_CONNECT:
        count(s, host_connect(5, &name), 0);
        break;
    case OCALL_SOCKET_LISTEN:
        count(s, host_listen(5, 1), 0);
        break;
    case OCALL_SOCKET_ACCEPT:
        descriptor(s, host_accept(5, name_room(s)));
        named(s);
        break;
    case OCALL_SOCKET_NAME:
        count(s, host_socket_name(5, true, name_room(s)), 0);
        named(s);
        break;
    case OCALL_SOCKET_SEND:
        send_message(s, given);
        break;
    case OCALL_SOCKET_RECEIVE:
        receive_message(s);
        break;
    case OCALL_SOCKET_SHUT:
        count(s, host_shutdown(5, 1), 0);
        break;
    case OCALL_OPTION_GET:
        give(s, host_option_get(5, 1, 4, s->to, s->room), s->room);
        break;
    case OCALL_OPTION_SET:
        count(s, host_option_set(5, 1, 4, public_bytes, given), 0);
        break;
    case OCALL_EVENTS_CREATE:
        descriptor(s, host_events_create());
        break;
    case OCALL_EVENTS_CHANGE:
        count(s, host_events_change(5, 1, 6, 1), 0);
        break;
    case OCALL_EVENTS_WAIT:
        events(s);
        break;
    case OCALL_INTERFACES:
        s->changed = s->room;
        count(s, host_interfaces((struct host_interface *)s->to, s->room / sizeof(struct host_interface)), s->room);
        break;
    case OCALL_COMMAND_SIGNALS:
        s->changed = s->room;
        count(s, host_command_signals((struct command_signals *)s->to, s->room / sizeof(struct command_signals)), s->room);
        break;
    case OCALL_COMMAND_END:
        host_command_end(2, 0, 0, (const char *)public_bytes, given);
        break;
    case OCALL_INTERRUPT:
        host_interrupt((uint32_t)random_below(8));
        break;
    case OCALL_EXIT:
    case OCALL_THREAD_EXIT:
    case OCALL_COUNT:
        return 0;
    }
    /* No default: who adds an OCALL adds it here. */
    return 0;
}
