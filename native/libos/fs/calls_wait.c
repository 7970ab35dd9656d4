#include "fs/call_support.h"
#include "fs/epoll.h"
#include "fs/event.h"
#include "fs/pipe.h"
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
    if (!file) {
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
    if (!file) {
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
    if (epoll && file) {
        result =
            epoll_change(epoll, (enum epoll_operation)operation, (int32_t)arguments->at[2], file, &event);
    }
    file_put(epoll);
    file_put(file);
    return result;
}

struct event_room {
    struct epoll_event *list; /* NULL: out of memory */
    size_t count;
    struct buffer_pool *pool; /* whose the list is; NULL: nobody's */
};

/* As many as there can be. Where there is no memory for all, who waits is told of the others the next time. */
static struct event_room take_room(const struct file *epoll, size_t wanted)
{
    size_t small = PATH_BUFFER_SIZE / sizeof(struct epoll_event), large = EXCHANGE_DATA_SIZE / sizeof(struct epoll_event);
    size_t watched = wanted > large ? epoll_watched(epoll) : 0, count = wanted < watched ? wanted : watched;
    struct event_room room = {.list = count > large ? allocate(count * sizeof(struct epoll_event)) : NULL, .count = count};
    if (!room.list) {
        room.pool = wanted <= small ? &path_buffers : &data_buffers;
        room.count = wanted < large ? wanted : large;
        room.list = buffer_take(room.pool);
    }
    return room;
}

static void give_room(const struct event_room *room)
{
    if (room->pool) {
        buffer_give(room->pool, room->list);
    } else {
        release(room->list, room->count * sizeof(struct epoll_event));
    }
}

static int64_t epoll_wait_call(const struct arguments *arguments, uint64_t timeout_ns)
{
    int32_t wanted = (int32_t)arguments->at[2];
    if (wanted <= 0 || (uint32_t)wanted > INT32_MAX / sizeof(struct epoll_event)) {
        return -EINVAL;
    }
    struct file *file = file_at(arguments, 0);
    if (!file) {
        return -EBADF;
    }
    if (!user_range_is_possible(arguments->at[1], (uint64_t)wanted * sizeof(struct epoll_event))) {
        file_put(file);
        return -EFAULT;
    }
    struct event_room room = take_room(file, (size_t)wanted);
    int64_t result = !room.list ? -ENOMEM : epoll_wait_events(file, room.list, room.count, timeout_ns);
    if (result > 0 &&
        copy_to_user(arguments->at[1], room.list, (size_t)result * sizeof(struct epoll_event)) < 0) {
        result = -EFAULT;
    }
    give_room(&room);
    file_put(file);
    return result;
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

int64_t sys_epoll_pwait2(const struct arguments *arguments)
{
    uint64_t timeout_ns;
    int64_t result = optional_timeout(&timeout_ns, arguments->at[3]);
    if (result == 0) {
        result = signal_set_temporary_mask(arguments->at[4], arguments->at[5]);
    }
    return result < 0 ? result : epoll_wait_call(arguments, timeout_ns);
}
