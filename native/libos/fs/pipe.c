#include "fs/pipe.h"

#include "fs/poller.h"
#include "signal/signal.h"

#define CAPACITY 65536U
#define ATOMIC_SIZE 4096U /* PIPE_BUF */
#define FIONREAD 0x541BU

struct pipe {
    struct event_source source;
    struct mutex lock;
    uint8_t *bytes;
    size_t start, used;
    uint32_t readers, writers;
    bool had_reader, had_writer; /* a FIFO waits for its first other end */
};

static void pipe_unused(struct event_source *source)
{
    struct pipe *pipe = CONTAINER_OF(source, struct pipe, source);
    pages_release(pipe->bytes, CAPACITY / PAGE_SIZE);
    release(pipe, sizeof(struct pipe));
}

struct pipe *pipe_make(void)
{
    struct pipe *pipe = allocate(sizeof(struct pipe));
    if (pipe == NULL) {
        return NULL;
    }
    pipe->bytes = pages_allocate(CAPACITY / PAGE_SIZE);
    if (pipe->bytes == NULL) {
        release(pipe, sizeof(struct pipe));
        return NULL;
    }
    pipe->source.references = 1;
    pipe->source.unused = pipe_unused;
    return pipe;
}

/* Sleeps until the pipe changes; the lock is held before and after. */
static int64_t wait_for_change(struct pipe *pipe, bool nonblocking)
{
    return nonblocking ? -EAGAIN : wait_queue_sleep(&pipe->source.queue, &pipe->lock, NO_TIMEOUT);
}

static void copy_out(const struct pipe *pipe, uint8_t *to, size_t length)
{
    size_t first = CAPACITY - pipe->start < length ? CAPACITY - pipe->start : length;
    memcpy(to, pipe->bytes + pipe->start, first);
    memcpy(to + first, pipe->bytes, length - first);
}

static void copy_in(struct pipe *pipe, const uint8_t *from, size_t length)
{
    size_t end = (pipe->start + pipe->used) % CAPACITY;
    size_t first = CAPACITY - end < length ? CAPACITY - end : length;
    memcpy(pipe->bytes + end, from, first);
    memcpy(pipe->bytes, from + first, length - first);
    pipe->used += length;
}

static bool has_room(const struct pipe *pipe)
{
    return CAPACITY - pipe->used >= ATOMIC_SIZE;
}

int64_t pipe_take(struct pipe *pipe, bool nonblocking, bool peek, void *to, size_t length)
{
    int64_t result = 0;
    bool makes_room = false;
    mutex_lock(&pipe->lock);
    /* Who reads is counted, until an end of a socket pair is shut down while somebody waits in it. */
    while (pipe->used == 0 && (pipe->writers > 0 || !pipe->had_writer) && pipe->readers > 0 && result == 0) {
        result = wait_for_change(pipe, nonblocking);
    }
    if (pipe->used > 0) {
        size_t part = pipe->used < length ? pipe->used : length;
        copy_out(pipe, to, part);
        if (!peek) {
            makes_room = !has_room(pipe);
            pipe->start = (pipe->start + part) % CAPACITY;
            pipe->used -= part;
            makes_room = makes_room && has_room(pipe);
        }
        result = (int64_t)part;
    }
    mutex_unlock(&pipe->lock);
    if (makes_room) {
        event_source_has_room(&pipe->source);
    } else if (result > 0 && !peek) {
        wake_all(&pipe->source.queue); /* who waits with a large write; no edge */
    }
    return result;
}

/* Up to ATOMIC_SIZE bytes go in at once or not at all (pipe(7)). */
int64_t pipe_put(struct pipe *pipe, bool nonblocking, const void *from, size_t length)
{
    size_t done = 0;
    int64_t result = 0;
    mutex_lock(&pipe->lock);
    while (done < length && result == 0) {
        size_t room = CAPACITY - pipe->used;
        size_t needed = length <= ATOMIC_SIZE ? length : 1;
        if ((pipe->readers == 0 && pipe->had_reader) || pipe->writers == 0) {
            result = -EPIPE;
        } else if (room < needed || pipe->readers == 0) {
            result = wait_for_change(pipe, nonblocking);
        } else {
            size_t part = room < length - done ? room : length - done;
            copy_in(pipe, (const uint8_t *)from + done, part);
            done += part;
            event_source_has_data(&pipe->source);
        }
    }
    mutex_unlock(&pipe->lock);
    return done > 0 ? (int64_t)done : result;
}

struct pipe_state pipe_watch(struct pipe *pipe, bool writes, struct poller *poller)
{
    (writes ? poller_watch_room : poller_watch)(poller, &pipe->source);
    mutex_lock(&pipe->lock);
    const struct pipe_state state = {
        .has_data = pipe->used > 0,
        .has_room = has_room(pipe),
        .readers_left = pipe->readers == 0 && pipe->had_reader,
        .writers_left = pipe->writers == 0 && pipe->had_writer,
    };
    mutex_unlock(&pipe->lock);
    return state;
}

static int64_t pipe_read(struct file *file, void *to, size_t length, uint64_t *offset)
{
    (void)offset;
    return pipe_take(file->state, (file->flags & O_NONBLOCK) != 0, false, to, length);
}

static int64_t pipe_write(struct file *file, const void *from, size_t length, uint64_t *offset)
{
    (void)offset;
    int64_t result = pipe_put(file->state, (file->flags & O_NONBLOCK) != 0, from, length);
    if (result == -EPIPE) {
        signal_send_current(SIGPIPE);
    }
    return result;
}

static uint32_t pipe_poll(struct file *file, struct poller *poller)
{
    const struct pipe_state state = pipe_watch(file->state, !is_readable(file), poller);
    uint32_t events = 0;
    if (is_readable(file)) {
        events |= state.has_data ? POLLIN | POLLRDNORM : 0;
        events |= state.writers_left ? POLLHUP : 0;
    }
    if (is_writable(file)) {
        events |= state.has_room ? POLLOUT | POLLWRNORM : 0;
        events |= state.readers_left ? POLLERR : 0;
    }
    return events;
}

int64_t pipe_ioctl(struct pipe *pipe, uint32_t request, user_address argument)
{
    if (request != FIONREAD) {
        return -ENOTTY;
    }
    int32_t used = (int32_t)__atomic_load_n(&pipe->used, __ATOMIC_RELAXED);
    return copy_to_user(argument, &used, sizeof(used));
}

static int64_t file_ioctl(struct file *file, uint32_t request, user_address argument)
{
    return pipe_ioctl(file->state, request, argument);
}

void pipe_join(struct pipe *pipe, bool reads, bool writes)
{
    __atomic_fetch_add(&pipe->source.references, 1, __ATOMIC_RELAXED);
    mutex_lock(&pipe->lock);
    pipe->readers += reads;
    pipe->writers += writes;
    pipe->had_reader |= reads;
    pipe->had_writer |= writes;
    mutex_unlock(&pipe->lock);
    event_source_changed(&pipe->source);
}

void pipe_leave(struct pipe *pipe, bool reads, bool writes)
{
    mutex_lock(&pipe->lock);
    pipe->readers -= reads;
    pipe->writers -= writes;
    mutex_unlock(&pipe->lock);
    event_source_changed(&pipe->source);
    event_source_put(&pipe->source);
}

static void pipe_release(struct file *file)
{
    pipe_leave(file->state, is_readable(file), is_writable(file));
}

static const struct file_operations operations = {
    .read = pipe_read,
    .write = pipe_write,
    .poll = pipe_poll,
    .ioctl = file_ioctl,
    .release = pipe_release,
    .stream = true,
};

/* The file becomes an end of the pipe, which gets one more count. */
static void attach(struct pipe *pipe, struct file *file)
{
    file->operations = &operations;
    file->state = pipe;
    pipe_join(pipe, is_readable(file), is_writable(file));
}

int64_t pipe_create(uint32_t flags, struct file *ends[2])
{
    static const struct file_operations unattached = {.stream = true};
    static const uint32_t modes[2] = {O_RDONLY, O_WRONLY};
    struct pipe *pipe = pipe_make();
    if (pipe == NULL) {
        return -ENOMEM;
    }
    int64_t result = 0;
    for (uint32_t at = 0; at < 2 && result == 0; at++) {
        result =
            file_create_anonymous(&unattached, "pipe", S_IFIFO | 0600, modes[at] | flags, NULL, &ends[at]);
        if (result == 0) {
            attach(pipe, ends[at]);
        } else if (at == 1) {
            file_put(ends[0]);
        }
    }
    event_source_put(&pipe->source);
    return result;
}

int64_t pipe_open_fifo(struct pipe **slot, struct file *file)
{
    if (*slot == NULL && (*slot = pipe_make()) == NULL) {
        return -ENOMEM;
    }
    bool alone = (file->flags & O_ACCMODE) == O_WRONLY && (*slot)->readers == 0;
    if (alone && (file->flags & O_NONBLOCK)) {
        return -ENXIO;
    }
    attach(*slot, file);
    return 0;
}

void pipe_forget(struct pipe *pipe)
{
    event_source_put(&pipe->source);
}
