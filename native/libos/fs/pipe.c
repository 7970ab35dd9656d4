#include "fs/pipe.h"

#include "fs/pipe_ring.h"
#include "fs/poller.h"
#include "signal/signal.h"

/* Slots of a new pipe, and of one that is made when there are PIPE_PAGES_SOFT already (Linux, PIPE_DEF_BUFFERS and
 * PIPE_MIN_DEF_BUFFERS). */
#define SLOTS 16U
#define SLOTS_FEW 2U
#define SIZE_MAX_OF_ALL (1U << 31)
#define FIONREAD 0x541BU

struct pipe {
    struct event_source source;
    struct mutex lock;
    struct pipe_ring ring;
    bool claimed; /* by one reader, who has copied and not yet taken out */
    bool is_named;
    uint32_t readers, writers;
    uint32_t reader_opens, writer_opens; /* how often there came one */
};

static uint32_t slots_of_all;

static bool has_too_many(uint32_t slots)
{
    return slots > PIPE_PAGES_SOFT && !is_capable(CAP_SYS_RESOURCE) && !is_capable(CAP_SYS_ADMIN);
}

static void count_slots(uint32_t old, uint32_t new)
{
    __atomic_fetch_add(&slots_of_all, new - old, __ATOMIC_RELAXED);
}

static void pipe_unused(struct event_source *source)
{
    struct pipe *pipe = CONTAINER_OF(source, struct pipe, source);
    count_slots(pipe->ring.count, 0);
    pipe_ring_destroy(&pipe->ring);
    release(pipe, sizeof(struct pipe));
}

struct pipe *pipe_make(void)
{
    bool few = has_too_many(__atomic_load_n(&slots_of_all, __ATOMIC_RELAXED) + SLOTS);
    struct pipe *pipe = allocate(sizeof(struct pipe));
    if (!pipe) {
        return NULL;
    }
    if (pipe_ring_create(&pipe->ring, few ? SLOTS_FEW : SLOTS) < 0) {
        release(pipe, sizeof(struct pipe));
        return NULL;
    }
    count_slots(0, pipe->ring.count);
    pipe->source.references = 1;
    pipe->source.unused = pipe_unused;
    return pipe;
}

/* Sleeps until the pipe changes; the lock is held before and after. */
static int64_t wait_for_change(struct pipe *pipe, bool nonblocking)
{
    return nonblocking ? -EAGAIN : wait_queue_sleep(&pipe->source.queue, &pipe->lock, NO_TIMEOUT);
}

/* 1: there is something, and nobody else has claimed it. 0: and nobody will write. The lock is held. */
static int64_t await_data(struct pipe *pipe, bool nonblocking)
{
    int64_t result = 0;
    /* Who reads is counted, until an end of a socket pair is shut down while somebody waits in it. */
    while ((pipe->claimed || (pipe->ring.bytes == 0 && pipe->writers > 0 && pipe->readers > 0)) && result == 0) {
        result = wait_for_change(pipe, nonblocking);
    }
    return result < 0 ? result : pipe->ring.bytes > 0;
}

static void tell_of_room(struct pipe *pipe, bool was_full)
{
    if (was_full && !pipe_ring_is_full(&pipe->ring)) {
        event_source_has_room(&pipe->source);
    } else {
        event_source_was_read(&pipe->source); /* who waits with a large write; no edge */
    }
}

int64_t pipe_take(struct pipe *pipe, bool nonblocking, bool peek, void *to, size_t length)
{
    mutex_lock(&pipe->lock);
    int64_t result = await_data(pipe, nonblocking);
    if (result > 0) {
        bool was_full = pipe_ring_is_full(&pipe->ring);
        result = (int64_t)pipe_ring_take(&pipe->ring, to, length, !peek);
        if (!peek) {
            tell_of_room(pipe, was_full);
        }
    }
    mutex_unlock(&pipe->lock);
    return result;
}

int64_t pipe_claim(struct pipe *pipe, bool nonblocking, void *to, size_t length)
{
    mutex_lock(&pipe->lock);
    int64_t result = await_data(pipe, nonblocking);
    if (result > 0) {
        result = (int64_t)pipe_ring_take(&pipe->ring, to, length, false);
        pipe->claimed = true;
    }
    mutex_unlock(&pipe->lock);
    return result;
}

void pipe_settle(struct pipe *pipe, size_t used)
{
    mutex_lock(&pipe->lock);
    bool was_full = pipe_ring_is_full(&pipe->ring);
    pipe_ring_drop(&pipe->ring, used);
    pipe->claimed = false;
    tell_of_room(pipe, was_full);
    mutex_unlock(&pipe->lock);
}

static bool is_broken(const struct pipe *pipe)
{
    return pipe->readers == 0 || pipe->writers == 0;
}

enum put_flag { PUT_NONBLOCKING = 1, PUT_PACKETS = 2, PUT_SOME = 4 };

static int64_t put(struct pipe *pipe, uint32_t flags, const void *from, size_t length)
{
    size_t done = 0;
    int64_t result = 0;
    mutex_lock(&pipe->lock);
    while (done < length && result >= 0) {
        if (is_broken(pipe)) {
            result = -EPIPE;
            break;
        }
        result = pipe_ring_put(
            &pipe->ring, (const uint8_t *)from + done, length - done, (flags & PUT_PACKETS) != 0);
        if (result > 0) {
            done += (size_t)result;
            event_source_has_data(&pipe->source);
        } else if (result == 0 && done > 0 && (flags & PUT_SOME)) {
            break;
        } else if (result == 0) {
            result = wait_for_change(pipe, (flags & PUT_NONBLOCKING) != 0);
        }
    }
    mutex_unlock(&pipe->lock);
    return done > 0 ? (int64_t)done : result;
}

int64_t pipe_put(struct pipe *pipe, bool nonblocking, const void *from, size_t length)
{
    return put(pipe, nonblocking ? PUT_NONBLOCKING : 0, from, length);
}

int64_t pipe_put_some(struct pipe *pipe, bool nonblocking, const void *from, size_t length)
{
    return put(pipe, PUT_SOME | (nonblocking ? PUT_NONBLOCKING : 0), from, length);
}

int64_t pipe_await_room(struct pipe *pipe, bool nonblocking)
{
    int64_t result = 0;
    mutex_lock(&pipe->lock);
    while (!is_broken(pipe) && pipe_ring_is_full(&pipe->ring) && result == 0) {
        result = wait_for_change(pipe, nonblocking);
    }
    if (is_broken(pipe)) {
        result = -EPIPE;
    } else if (result == 0) {
        result = (int64_t)(pipe->ring.count - pipe->ring.occupied) * (int64_t)PAGE_SIZE;
    }
    mutex_unlock(&pipe->lock);
    return result;
}

struct pipe_state pipe_watch(struct pipe *pipe, bool writes, struct poller *poller)
{
    (writes ? poller_watch_room : poller_watch)(poller, &pipe->source);
    mutex_lock(&pipe->lock);
    const struct pipe_state state = {
        .has_data = pipe->ring.bytes > 0,
        .has_room = !pipe_ring_is_full(&pipe->ring),
        .readers_left = pipe->readers == 0,
        .writers_left = pipe->writers == 0,
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
    uint32_t flags = ((file->flags & O_NONBLOCK) ? PUT_NONBLOCKING : 0U) | ((file->flags & O_DIRECT) ? PUT_PACKETS : 0U);
    int64_t result = put(file->state, flags, from, length);
    if (result == -EPIPE) {
        signal_send_current(SIGPIPE);
    }
    return result;
}

/* A FIFO's reader that did not wait for a writer hears of none before one has come: its position keeps how many there
 * were when it was opened (f_version of Linux). */
static bool has_hung_up(const struct file *file, const struct pipe *pipe)
{
    return __atomic_load_n(&pipe->writer_opens, __ATOMIC_ACQUIRE) != (uint32_t)file->position;
}

static uint32_t pipe_poll(struct file *file, struct poller *poller)
{
    const struct pipe_state state = pipe_watch(file->state, !is_readable(file), poller);
    uint32_t events = 0;
    if (is_readable(file)) {
        events |= state.has_data ? POLLIN | POLLRDNORM : 0;
        events |= state.writers_left && has_hung_up(file, file->state) ? POLLHUP : 0;
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
    int32_t used = (int32_t)__atomic_load_n(&pipe->ring.bytes, __ATOMIC_RELAXED);
    return copy_to_user(argument, &used, sizeof(used));
}

/* round_pipe_size() of Linux: a power of two of at least a page; 0: too large. */
static uint32_t round_size(uint64_t size)
{
    uint32_t rounded = PAGE_SIZE;
    if (size > SIZE_MAX_OF_ALL) {
        return 0;
    }
    while (rounded < size) {
        rounded *= 2;
    }
    return rounded;
}

int64_t pipe_set_size(struct pipe *pipe, uint64_t wanted)
{
    uint32_t size = round_size(wanted), slots = size / PAGE_SIZE;
    if (slots == 0) {
        return -EINVAL;
    }
    mutex_lock(&pipe->lock);
    uint32_t old = pipe->ring.count;
    int64_t result = 0;
    if (slots > old) {
        uint32_t all = __atomic_load_n(&slots_of_all, __ATOMIC_RELAXED) - old + slots;
        bool too_large = size > PIPE_SIZE_MAX && !is_capable(CAP_SYS_RESOURCE);
        result = too_large || has_too_many(all) ? -EPERM : 0;
    }
    if (result == 0) {
        bool was_full = pipe_ring_is_full(&pipe->ring);
        result = pipe_ring_resize(&pipe->ring, slots);
        if (result == 0) {
            count_slots(old, slots);
            tell_of_room(pipe, was_full);
            result = size;
        }
    }
    mutex_unlock(&pipe->lock);
    return result;
}

int64_t pipe_size(struct pipe *pipe)
{
    return (int64_t)__atomic_load_n(&pipe->ring.count, __ATOMIC_RELAXED) * (int64_t)PAGE_SIZE;
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
    pipe->reader_opens += reads;
    pipe->writer_opens += writes;
    mutex_unlock(&pipe->lock);
    event_source_changed(&pipe->source);
}

void pipe_leave(struct pipe *pipe, bool reads, bool writes)
{
    mutex_lock(&pipe->lock);
    pipe->readers -= reads;
    pipe->writers -= writes;
    if (pipe->is_named && pipe->readers == 0 && pipe->writers == 0) {
        pipe_ring_clear(&pipe->ring);
    }
    mutex_unlock(&pipe->lock);
    event_source_changed(&pipe->source);
    event_source_put(&pipe->source);
}

static void pipe_release(struct file *file)
{
    pipe_leave(file->state, is_readable(file), is_writable(file));
}

/* fifo_open() of Linux: who opens one end waits until somebody comes to the other, even if he has left again. */
static int64_t wait_for_partner(struct file *file)
{
    struct pipe *pipe = file->state;
    int64_t result = 0;
    if ((file->flags & O_NONBLOCK) || (is_readable(file) && is_writable(file))) {
        return 0;
    }
    const uint32_t *there = is_readable(file) ? &pipe->writers : &pipe->readers;
    const uint32_t *opens = is_readable(file) ? &pipe->writer_opens : &pipe->reader_opens;
    mutex_lock(&pipe->lock);
    while (*there == 0 && *opens == (uint32_t)file->position && result == 0) {
        result = wait_for_change(pipe, false);
    }
    mutex_unlock(&pipe->lock);
    return result;
}

static const struct file_operations pipe_operations = {
    .tells_owner = OWNER_HEARS_ALL,
    .read = pipe_read,
    .write = pipe_write,
    .poll = pipe_poll,
    .ioctl = file_ioctl,
    .release = pipe_release,
    .stream = true,
};

static const struct file_operations fifo_operations = {
    .tells_owner = OWNER_HEARS_ALL,
    .read = pipe_read,
    .write = pipe_write,
    .poll = pipe_poll,
    .ioctl = file_ioctl,
    .opened = wait_for_partner,
    .release = pipe_release,
    .stream = true,
};

struct pipe *pipe_of(const struct file *file)
{
    bool is_one = file->operations == &pipe_operations || file->operations == &fifo_operations;
    return is_one ? file->state : NULL;
}

/* The file becomes an end of the pipe, which gets one more count. */
static void attach(struct pipe *pipe, struct file *file, const struct file_operations *operations)
{
    file->operations = operations;
    file->state = pipe;
    pipe_join(pipe, is_readable(file), is_writable(file));
}

/* Both ends have one inode, by which either can be opened anew: /proc/self/fd/N. */
struct pipe_inode {
    struct inode inode;
    struct pipe *pipe; /* counted */
};

/* Unlike those who open a FIFO, nobody waits for the other end (fifo_open() of Linux). */
static int64_t open_again(struct inode *inode, struct file *file)
{
    attach(CONTAINER_OF(inode, struct pipe_inode, inode)->pipe, file, &pipe_operations);
    return 0;
}

static void pipe_inode_unused(struct inode *inode)
{
    struct pipe_inode *of_pipe = CONTAINER_OF(inode, struct pipe_inode, inode);
    if (of_pipe->pipe) {
        pipe_forget(of_pipe->pipe);
    }
    inode_end_anonymous(inode);
    release(of_pipe, sizeof(struct pipe_inode));
}

int64_t pipe_create(uint32_t flags, struct file *ends[2])
{
    static const struct inode_operations operations = {
        .open = open_again, .change = inode_change_anonymous, .unused = pipe_inode_unused};
    struct pipe_inode *of_pipe = allocate(sizeof(struct pipe_inode));
    if (!of_pipe) {
        return -ENOMEM;
    }
    struct inode *inode = &of_pipe->inode;
    inode->operations = &operations;
    int64_t result = inode_begin_anonymous(inode, "pipe", S_IFIFO | 0600);
    of_pipe->pipe = result == 0 ? pipe_make() : NULL;
    result = !of_pipe->pipe ? -ENOMEM : file_create(inode, O_RDONLY | (flags & O_NONBLOCK), &ends[0]);
    if (result == 0) {
        result = file_create(inode, O_WRONLY | flags, &ends[1]);
        if (result < 0) {
            file_put(ends[0]);
        }
    }
    inode_put(inode);
    return result;
}

int64_t pipe_open_fifo(struct pipe **slot, struct file *file)
{
    if ((file->flags & O_ACCMODE) == O_ACCMODE) {
        return -EINVAL;
    }
    if (!*slot && !(*slot = pipe_make())) {
        return -ENOMEM;
    }
    struct pipe *pipe = *slot;
    pipe->is_named = true;
    if ((file->flags & O_ACCMODE) == O_WRONLY && pipe->readers == 0 && (file->flags & O_NONBLOCK)) {
        return -ENXIO;
    }
    if (is_readable(file) ? pipe->writers == 0 : pipe->readers == 0) {
        file->position = is_readable(file) ? pipe->writer_opens : pipe->reader_opens;
    }
    attach(pipe, file, &fifo_operations);
    return 0;
}

void pipe_forget(struct pipe *pipe)
{
    event_source_put(&pipe->source);
}
