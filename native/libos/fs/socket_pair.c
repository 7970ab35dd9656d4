#include "fs/socket_pair.h"

#include "fs/pipe.h"
#include "fs/poller.h"
#include "signal/signal.h"

enum shutdown_how { SHUT_RD, SHUT_WR, SHUT_RDWR };

struct end {
    struct mutex lock; /* guards the two flags */
    struct pipe *in, *out;
    bool reads, writes; /* until it is shut down */
};

static bool is_nonblocking(const struct file *socket, uint32_t flags)
{
    return (socket->flags & O_NONBLOCK) != 0 || (flags & MSG_DONTWAIT) != 0;
}

int64_t socket_receive(struct file *socket, void *to, size_t length, uint32_t flags)
{
    struct end *end = socket->state;
    if (!__atomic_load_n(&end->reads, __ATOMIC_ACQUIRE)) {
        return 0;
    }
    return pipe_take(end->in, is_nonblocking(socket, flags), (flags & MSG_PEEK) != 0, to, length);
}

int64_t socket_send(struct file *socket, const void *from, size_t length, uint32_t flags)
{
    struct end *end = socket->state;
    int64_t result = __atomic_load_n(&end->writes, __ATOMIC_ACQUIRE)
                         ? pipe_put(end->out, is_nonblocking(socket, flags), from, length)
                         : -EPIPE;
    if (result == -EPIPE && (flags & MSG_NOSIGNAL) == 0) {
        signal_send_current(SIGPIPE);
    }
    return result;
}

static int64_t end_read(struct file *socket, void *to, size_t length, uint64_t *offset)
{
    (void)offset;
    return socket_receive(socket, to, length, 0);
}

static int64_t end_write(struct file *socket, const void *from, size_t length, uint64_t *offset)
{
    (void)offset;
    return socket_send(socket, from, length, 0);
}

static uint32_t end_poll(struct file *socket, struct poller *poller)
{
    struct end *end = socket->state;
    const struct pipe_state in = pipe_watch(end->in, false, poller),
                            out = pipe_watch(end->out, true, poller);
    bool hears_no_more = in.writers_left || !__atomic_load_n(&end->reads, __ATOMIC_ACQUIRE);
    bool says_no_more = out.readers_left || !__atomic_load_n(&end->writes, __ATOMIC_ACQUIRE);
    uint32_t events = 0;
    events |= in.has_data || hears_no_more ? POLLIN | POLLRDNORM : 0;
    events |= out.has_room || says_no_more ? POLLOUT | POLLWRNORM : 0;
    events |= hears_no_more ? POLLRDHUP : 0;
    events |= hears_no_more && says_no_more ? POLLHUP : 0;
    return events;
}

static int64_t end_ioctl(struct file *socket, uint32_t request, user_address argument)
{
    struct end *end = socket->state;
    return pipe_ioctl(end->in, request, argument);
}

static void stop(struct end *end, bool reading, bool writing)
{
    mutex_lock(&end->lock);
    bool reads = end->reads && reading, writes = end->writes && writing;
    __atomic_store_n(&end->reads, end->reads && !reading, __ATOMIC_RELEASE);
    __atomic_store_n(&end->writes, end->writes && !writing, __ATOMIC_RELEASE);
    mutex_unlock(&end->lock);
    if (reads) {
        pipe_leave(end->in, true, false);
    }
    if (writes) {
        pipe_leave(end->out, false, true);
    }
}

int64_t socket_shutdown(struct file *socket, uint32_t how)
{
    if (how > SHUT_RDWR) {
        return -EINVAL;
    }
    stop(socket->state, how != SHUT_WR, how != SHUT_RD);
    return 0;
}

static void end_release(struct file *socket)
{
    struct end *end = socket->state;
    stop(end, true, true);
    pipe_leave(end->in, false, false);
    pipe_leave(end->out, false, false);
    release(end, sizeof(struct end));
}

static const struct file_operations operations = {
    .read = end_read,
    .write = end_write,
    .poll = end_poll,
    .ioctl = end_ioctl,
    .release = end_release,
    .stream = true,
};

bool is_socket(const struct file *file)
{
    return file->operations == &operations;
}

static int64_t end_create(struct pipe *in, struct pipe *out, uint32_t flags, struct file **file)
{
    struct end *end = allocate(sizeof(struct end));
    if (end == NULL) {
        return -ENOMEM;
    }
    int64_t result = file_create_anonymous(&operations, "socket", S_IFSOCK | 0777, O_RDWR | flags, end, file);
    if (result < 0) {
        release(end, sizeof(struct end));
        return result;
    }
    *end = (struct end){.in = in, .out = out, .reads = true, .writes = true};
    pipe_join(in, true, false);
    pipe_join(out, false, true);
    /* Calls that run while the end is shut down still use both. */
    pipe_join(in, false, false);
    pipe_join(out, false, false);
    return 0;
}

int64_t socket_pair_create(uint32_t flags, struct file *ends[2])
{
    struct pipe *pipes[2] = {pipe_make(), pipe_make()};
    int64_t result = -ENOMEM;
    if (pipes[0] != NULL && pipes[1] != NULL) {
        result = end_create(pipes[0], pipes[1], flags, &ends[0]);
        if (result == 0) {
            result = end_create(pipes[1], pipes[0], flags, &ends[1]);
            if (result < 0) {
                file_put(ends[0]);
            }
        }
    }
    for (size_t at = 0; at < ARRAY_LENGTH(pipes); at++) {
        if (pipes[at] != NULL) {
            pipe_forget(pipes[at]);
        }
    }
    return result;
}
