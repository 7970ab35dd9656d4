#include "fs/call_support.h"
#include "fs/epoll.h"
#include "fs/event.h"
#include "fs/pipe.h"
#include "fs/poller.h"
#include "signal/signal.h"

static int64_t pipe_call(user_address to, uint32_t flags)
{
    struct file *ends[2];
    if ((flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT)) != 0) {
        return -EINVAL;
    }
    int64_t result = pipe_create(flags & (O_NONBLOCK | O_DIRECT), ends);
    return result < 0 ? result : install_two(ends, (flags & O_CLOEXEC) != 0, to);
}

int64_t sys_pipe(const struct arguments *arguments)
{
    return pipe_call(arguments->at[0], 0);
}

int64_t sys_pipe2(const struct arguments *arguments)
{
    return pipe_call(arguments->at[0], (uint32_t)arguments->at[1]);
}

#define EFD_SEMAPHORE 1U

static int64_t event_call(uint32_t initial, uint32_t flags)
{
    struct file *file;
    if ((flags & ~(EFD_SEMAPHORE | O_CLOEXEC | O_NONBLOCK)) != 0) {
        return -EINVAL;
    }
    int64_t result = event_create(initial, (flags & EFD_SEMAPHORE) != 0, flags & O_NONBLOCK, &file);
    return result < 0 ? result : install(file, (flags & O_CLOEXEC) != 0);
}

int64_t sys_eventfd(const struct arguments *arguments)
{
    return event_call((uint32_t)arguments->at[0], 0);
}

int64_t sys_eventfd2(const struct arguments *arguments)
{
    return event_call((uint32_t)arguments->at[0], (uint32_t)arguments->at[1]);
}

int64_t sys_timerfd_create(const struct arguments *arguments)
{
    struct file *file;
    uint32_t flags = (uint32_t)arguments->at[1];
    if ((flags & ~(O_CLOEXEC | O_NONBLOCK)) != 0) {
        return -EINVAL;
    }
    int64_t result = timer_create((uint32_t)arguments->at[0], flags & O_NONBLOCK, &file);
    return result < 0 ? result : install(file, (flags & O_CLOEXEC) != 0);
}

#define TFD_TIMER_ABSTIME 1U
#define TFD_TIMER_CANCEL_ON_SET 2U

int64_t sys_timerfd_settime(const struct arguments *arguments)
{
    struct itimerspec new, old;
    uint32_t flags = (uint32_t)arguments->at[1];
    if (copy_from_user(&new, arguments->at[2], sizeof(new)) < 0) {
        return -EFAULT;
    }
    if ((flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) != 0) {
        return -EINVAL;
    }
    struct file *file = file_at(arguments, 0);
    if (file == NULL) {
        return -EBADF;
    }
    int64_t result = timer_set(file, (flags & TFD_TIMER_ABSTIME) != 0, &new, &old);
    file_put(file);
    if (result == 0 && arguments->at[3] != 0) {
        result = copy_to_user(arguments->at[3], &old, sizeof(old));
    }
    return result;
}

int64_t sys_timerfd_gettime(const struct arguments *arguments)
{
    struct itimerspec now;
    struct file *file = file_at(arguments, 0);
    if (file == NULL) {
        return -EBADF;
    }
    int64_t result = timer_get(file, &now);
    file_put(file);
    return result < 0 ? result : copy_to_user(arguments->at[1], &now, sizeof(now));
}

static int64_t epoll_create_call(uint32_t flags)
{
    struct file *file;
    if ((flags & ~O_CLOEXEC) != 0) {
        return -EINVAL;
    }
    int64_t result = epoll_create_file(0, &file);
    return result < 0 ? result : install(file, (flags & O_CLOEXEC) != 0);
}

int64_t sys_epoll_create(const struct arguments *arguments)
{
    return (int32_t)arguments->at[0] <= 0 ? -EINVAL : epoll_create_call(0);
}

int64_t sys_epoll_create1(const struct arguments *arguments)
{
    return epoll_create_call((uint32_t)arguments->at[0]);
}

int64_t sys_epoll_ctl(const struct arguments *arguments)
{
    struct epoll_event event = {0};
    uint32_t operation = (uint32_t)arguments->at[1];
    if (operation != EPOLL_CTL_DEL && copy_from_user(&event, arguments->at[3], sizeof(event)) < 0) {
        return -EFAULT;
    }
    struct file *epoll = file_at(arguments, 0);
    struct file *file = file_at(arguments, 2);
    int64_t result = -EBADF;
    if (epoll != NULL && file != NULL) {
        result =
            epoll_change(epoll, (enum epoll_operation)operation, (int32_t)arguments->at[2], file, &event);
    }
    file_put(epoll);
    file_put(file);
    return result;
}

static int64_t epoll_wait_call(const struct arguments *arguments, uint64_t timeout_ns)
{
    int32_t wanted = (int32_t)arguments->at[2];
    if (wanted <= 0 || (uint32_t)wanted > INT32_MAX / sizeof(struct epoll_event)) {
        return -EINVAL;
    }
    struct file *file = file_at(arguments, 0);
    if (file == NULL) {
        return -EBADF;
    }
    bool is_small = (size_t)wanted <= PATH_BUFFER_SIZE / sizeof(struct epoll_event);
    struct buffer_pool *pool = is_small ? &path_buffers : &data_buffers;
    struct epoll_event *events = buffer_take(pool);
    size_t room = (is_small ? PATH_BUFFER_SIZE : EXCHANGE_DATA_SIZE) / sizeof(struct epoll_event);
    room = (size_t)wanted < room ? (size_t)wanted : room;
    int64_t result = events == NULL ? -ENOMEM : epoll_wait_events(file, events, room, timeout_ns);
    if (result > 0 &&
        copy_to_user(arguments->at[1], events, (size_t)result * sizeof(struct epoll_event)) < 0) {
        result = -EFAULT;
    }
    buffer_give(pool, events);
    file_put(file);
    return result;
}

/* Milliseconds; negative: no limit. */
static uint64_t milliseconds(uint64_t argument)
{
    int32_t value = (int32_t)argument;
    return value < 0 ? NO_TIMEOUT : (uint64_t)value * 1000000;
}

int64_t sys_epoll_wait(const struct arguments *arguments)
{
    return epoll_wait_call(arguments, milliseconds(arguments->at[3]));
}

int64_t sys_epoll_pwait(const struct arguments *arguments)
{
    int64_t result = signal_set_temporary_mask(arguments->at[4], arguments->at[5]);
    return result < 0 ? result : epoll_wait_call(arguments, milliseconds(arguments->at[3]));
}

/* A user timespec; NULL: no limit. */
static int64_t optional_timeout(uint64_t *timeout_ns, user_address from)
{
    *timeout_ns = NO_TIMEOUT;
    return from == 0 ? 0 : timeout_from_user(timeout_ns, from);
}

int64_t sys_epoll_pwait2(const struct arguments *arguments)
{
    uint64_t timeout_ns;
    int64_t result = optional_timeout(&timeout_ns, arguments->at[3]);
    if (result == 0) {
        result = signal_set_temporary_mask(arguments->at[4], arguments->at[5]);
    }
    return result < 0 ? result : epoll_wait_call(arguments, timeout_ns);
}

struct poll_entry {
    int32_t descriptor;
    uint16_t events;
    uint16_t revents;
};

struct poll_set {
    struct poll_entry *entries;
    struct file **files; /* counted; NULL: no such descriptor */
    size_t count;
};

static int64_t scan_set(void *context, struct poller *poller)
{
    struct poll_set *set = context;
    int64_t ready = 0;
    for (size_t at = 0; at < set->count; at++) {
        struct poll_entry *entry = &set->entries[at];
        entry->revents = 0;
        if (entry->descriptor < 0) {
            continue;
        }
        uint32_t revents = POLLNVAL;
        if (set->files[at] != NULL) {
            revents = file_poll(set->files[at], entry->events, poller) &
                      (entry->events | POLLERR | POLLHUP | POLLNVAL);
        }
        entry->revents = (uint16_t)revents;
        ready += revents != 0;
    }
    return ready;
}

/* Entries are LibOS memory; revents are filled in. */
static int64_t poll_entries(struct poll_entry *entries, size_t count, uint64_t timeout_ns)
{
    struct poll_set set = {.entries = entries, .count = count, .files = NULL};
    if (count > 0 && (set.files = allocate(count * sizeof(struct file *))) == NULL) {
        return -ENOMEM;
    }
    for (size_t at = 0; at < count; at++) {
        set.files[at] = entries[at].descriptor < 0 ? NULL : opened_file_of_descriptor(entries[at].descriptor);
    }
    int64_t result = poll_until(scan_set, &set, timeout_ns);
    for (size_t at = 0; at < count; at++) {
        file_put(set.files[at]);
    }
    release(set.files, count * sizeof(struct file *));
    return result;
}

static int64_t poll_call(user_address from, uint64_t count, uint64_t timeout_ns)
{
    if (count > resource_limit(RLIMIT_NOFILE)) {
        return -EINVAL;
    }
    size_t size = (size_t)count * sizeof(struct poll_entry);
    struct poll_entry *entries = NULL;
    if (count > 0 && (entries = allocate(size)) == NULL) {
        return -ENOMEM;
    }
    int64_t result = copy_from_user(entries, from, size);
    if (result == 0) {
        result = poll_entries(entries, (size_t)count, timeout_ns);
    }
    if (result >= 0 && copy_to_user(from, entries, size) < 0) {
        result = -EFAULT;
    }
    release(entries, size);
    return result;
}

int64_t sys_poll(const struct arguments *arguments)
{
    return poll_call(arguments->at[0], (uint32_t)arguments->at[1], milliseconds(arguments->at[2]));
}

int64_t sys_ppoll(const struct arguments *arguments)
{
    uint64_t timeout_ns;
    int64_t result = optional_timeout(&timeout_ns, arguments->at[2]);
    if (result == 0) {
        result = signal_set_temporary_mask(arguments->at[3], arguments->at[4]);
    }
    return result < 0 ? result : poll_call(arguments->at[0], (uint32_t)arguments->at[1], timeout_ns);
}

/* select: three bit sets become poll entries, and back. What each set asks for, and what counts as ready in
 * it (select(2)). */
#define SELECT_MAX 1024U /* FD_SETSIZE */
#define SET_COUNT 3U

static const uint16_t asks[SET_COUNT] = {POLLIN, POLLOUT, POLLPRI};
static const uint16_t counts[SET_COUNT] = {
    POLLIN | POLLRDNORM | POLLHUP | POLLERR,
    POLLOUT | POLLWRNORM | POLLERR,
    POLLPRI,
};

struct bit_sets {
    uint64_t words[SET_COUNT][SELECT_MAX / 64];
};

static bool is_set(const struct bit_sets *sets, uint32_t which, uint32_t bit)
{
    return (sets->words[which][bit / 64] >> (bit % 64) & 1) != 0;
}

static int64_t import_sets(struct bit_sets *sets, const user_address from[SET_COUNT], uint32_t limit)
{
    memset(sets, 0, sizeof(*sets));
    for (uint32_t which = 0; which < SET_COUNT; which++) {
        if (from[which] != 0 && copy_from_user(sets->words[which], from[which], (limit + 63) / 64 * 8) < 0) {
            return -EFAULT;
        }
    }
    return 0;
}

static uint32_t list_entries(const struct bit_sets *sets, uint32_t limit, struct poll_entry *entries)
{
    uint32_t count = 0;
    for (uint32_t bit = 0; bit < limit; bit++) {
        uint16_t events = 0;
        for (uint32_t which = 0; which < SET_COUNT; which++) {
            events |= is_set(sets, which, bit) ? asks[which] : 0;
        }
        if (events != 0) {
            entries[count++] = (struct poll_entry){.descriptor = (int32_t)bit, .events = events};
        }
    }
    return count;
}

/* Leaves in the sets what is ready: the number of bits, or -EBADF. */
static int64_t reduce_sets(struct bit_sets *sets, const struct poll_entry *entries, uint32_t count)
{
    struct bit_sets ready = {0};
    int64_t bits = 0;
    for (uint32_t at = 0; at < count; at++) {
        uint32_t bit = (uint32_t)entries[at].descriptor;
        if (entries[at].revents & POLLNVAL) {
            return -EBADF;
        }
        for (uint32_t which = 0; which < SET_COUNT; which++) {
            if (is_set(sets, which, bit) && (entries[at].revents & counts[which])) {
                ready.words[which][bit / 64] |= 1ULL << (bit % 64);
                bits++;
            }
        }
    }
    *sets = ready;
    return bits;
}

static int64_t select_call(const struct arguments *arguments, uint64_t timeout_ns)
{
    const user_address from[SET_COUNT] = {arguments->at[1], arguments->at[2], arguments->at[3]};
    int32_t wanted = (int32_t)arguments->at[0];
    if (wanted < 0) {
        return -EINVAL;
    }
    uint32_t limit = (uint32_t)wanted < SELECT_MAX ? (uint32_t)wanted : SELECT_MAX;
    struct bit_sets sets;
    int64_t result = import_sets(&sets, from, limit);
    if (result < 0) {
        return result;
    }
    size_t size = SELECT_MAX * sizeof(struct poll_entry);
    struct poll_entry *entries = allocate(size);
    if (entries == NULL) {
        return -ENOMEM;
    }
    uint32_t count = list_entries(&sets, limit, entries);
    result = poll_entries(entries, count, timeout_ns);
    if (result >= 0) {
        result = reduce_sets(&sets, entries, count);
    }
    release(entries, size);
    for (uint32_t which = 0; which < SET_COUNT && result >= 0; which++) {
        if (from[which] != 0 && copy_to_user(from[which], sets.words[which], (limit + 63) / 64 * 8) < 0) {
            result = -EFAULT;
        }
    }
    return result;
}

int64_t sys_select(const struct arguments *arguments)
{
    struct timeval limit;
    uint64_t timeout_ns = NO_TIMEOUT;
    if (arguments->at[4] != 0) {
        if (copy_from_user(&limit, arguments->at[4], sizeof(limit)) < 0) {
            return -EFAULT;
        }
        if (limit.seconds < 0 || limit.microseconds < 0) {
            return -EINVAL;
        }
        uint64_t seconds = (uint64_t)limit.seconds < (1ULL << 33) ? (uint64_t)limit.seconds : 1ULL << 33;
        uint64_t microseconds =
            (uint64_t)limit.microseconds < (1ULL << 50) ? (uint64_t)limit.microseconds : 1ULL << 50;
        timeout_ns = seconds * NS_PER_SECOND + microseconds * 1000;
    }
    return select_call(arguments, timeout_ns);
}

int64_t sys_pselect6(const struct arguments *arguments)
{
    uint64_t timeout_ns;
    uint64_t mask[2] = {0, 0}; /* address and size */
    int64_t result = optional_timeout(&timeout_ns, arguments->at[4]);
    if (result == 0 && arguments->at[5] != 0) {
        result = copy_from_user(mask, arguments->at[5], sizeof(mask));
    }
    if (result == 0 && mask[0] != 0) {
        result = signal_set_temporary_mask(mask[0], mask[1]);
    }
    return result < 0 ? result : select_call(arguments, timeout_ns);
}
