#include "fs/stream.h"

#include "boundary/boundary.h"
#include "fs/console.h"
#include "fs/poller.h"
#include "signal/signal.h"

#define STREAM_COUNT 3

struct stream {
    struct inode inode;
    int host_fd;
    struct console *console; /* that of the processes that began with it */
    bool is_terminal;
    bool has_own_mode; /* chmod(2) */
};

static struct stream *stream_of(const struct file *file)
{
    return file->state;
}

static int host_fd_of(const struct file *file)
{
    return stream_of(file)->host_fd;
}

/* After an OCALL that was interrupted: is there a signal for this thread, or was it for nothing? */
static bool interrupted(void)
{
    return task_sleep_end() == -EINTR;
}

static int64_t scan(void *context, struct poller *poller)
{
    const struct host_poll *wanted = context;
    return poller_watch_host_events(poller, wanted->fd, wanted->events);
}

/* Waits until the host fd is ready; with O_NONBLOCK only looks. */
static int64_t wait_ready(const struct file *file, uint16_t events)
{
    struct host_poll wanted = {.fd = host_fd_of(file), .events = events};
    bool block = (file->flags & O_NONBLOCK) == 0;
    int64_t result = poll_until(scan, &wanted, block ? NO_TIMEOUT : 0);
    return result == 0 ? -EAGAIN : result < 0 ? result : 0;
}

/* Who reads in the background, or changes the terminal there, is stopped. */
static int64_t check_background(const struct stream *stream, int signal)
{
    return stream->is_terminal ? console_check_background(stream->console, signal) : 0;
}

static int64_t stream_read(struct file *file, void *to, size_t length, uint64_t *offset)
{
    (void)offset;
    int64_t refusal = check_background(stream_of(file), SIGTTIN);
    if (refusal < 0) {
        return refusal;
    }
    for (;;) {
        int64_t result = (file->flags & O_NONBLOCK) ? wait_ready(file, POLLIN) : 0;
        if (result == 0) {
            result = host_read(host_fd_of(file), to, length);
        }
        /* the host's descriptor is non-blocking, ours is not */
        if (result == -EAGAIN && (file->flags & O_NONBLOCK) == 0) {
            result = wait_ready(file, POLLIN);
            if (result == 0) {
                continue;
            }
        }
        if (result != -EINTR || interrupted()) {
            return result;
        }
    }
}

#define TCGETS 0x5401U
#define TERMIOS_SIZE 36
#define TERMIOS_LOCAL 12 /* where c_lflag is */
#define TOSTOP 0x100U

/* The host keeps the settings: it is asked only in the background. */
static int64_t check_output(const struct stream *stream)
{
    uint8_t settings[TERMIOS_SIZE];
    uint32_t local;
    int64_t group = stream->is_terminal ? console_group(stream->console) : 0;
    if (group <= 0 || group == current_process()->group ||
        host_ioctl(stream->host_fd, TCGETS, settings, 0, sizeof(settings)) < 0) {
        return 0;
    }
    memcpy(&local, settings + TERMIOS_LOCAL, sizeof(local));
    return (local & TOSTOP) ? check_background(stream, SIGTTOU) : 0;
}

static int64_t stream_write(struct file *file, const void *from, size_t length, uint64_t *offset)
{
    (void)offset;
    int64_t refusal = check_output(stream_of(file));
    if (refusal < 0) {
        return refusal;
    }
    for (;;) {
        int64_t result = (file->flags & O_NONBLOCK) ? wait_ready(file, POLLOUT) : 0;
        if (result == 0) {
            result = host_write(host_fd_of(file), from, length);
        }
        if (result == -EAGAIN && (file->flags & O_NONBLOCK) == 0) {
            result = wait_ready(file, POLLOUT);
            if (result == 0) {
                continue;
            }
        }
        if (result == -EPIPE) {
            signal_send_current(SIGPIPE);
        }
        if (result != -EINTR || interrupted()) {
            return result;
        }
    }
}

static uint32_t stream_poll(struct file *file, struct poller *poller)
{
    return poller_watch_host(poller, host_fd_of(file));
}

/* Requests that go to the host's terminal, and the size of their argument (Linux,
 * include/uapi/asm-generic/ioctls.h, termios.h). */
static const struct {
    uint32_t request;
    uint16_t in, out;
    bool changes_terminal; /* SIGTTOU in the background */
} requests[] = {
    {TCGETS, 0, TERMIOS_SIZE, false},
    {0x5402, TERMIOS_SIZE, 0, true}, /* TCSETS */
    {0x5403, TERMIOS_SIZE, 0, true}, /* TCSETSW */
    {0x5404, TERMIOS_SIZE, 0, true}, /* TCSETSF */
    {0x5413, 0, 8, false},           /* TIOCGWINSZ */
    {0x5414, 8, 0, false},           /* TIOCSWINSZ */
    {0x541B, 0, 4, false},           /* FIONREAD */
    {0x802C542A, 0, 44, false},      /* TCGETS2 */
    {0x402C542B, 44, 0, true},       /* TCSETS2 */
    {0x402C542C, 44, 0, true},       /* TCSETSW2 */
    {0x402C542D, 44, 0, true},       /* TCSETSF2 */
};

#define TIOCGPGRP 0x540FU
#define TIOCSPGRP 0x5410U

static int64_t exchange_group(struct console *console, uint32_t request, user_address argument)
{
    int64_t current = console_group(console);
    int32_t group = (int32_t)current;
    if (current < 0) {
        return current;
    }
    if (request == TIOCGPGRP) {
        return copy_to_user(argument, &group, sizeof(group));
    }
    int64_t refusal = console_check_background(console, SIGTTOU);
    if (refusal < 0) {
        return refusal == -EIO ? -ENOTTY : refusal;
    }
    return copy_from_user(&group, argument, sizeof(group)) < 0 ? -EFAULT : console_set_group(console, group);
}

static int64_t stream_ioctl(struct file *file, uint32_t request, user_address argument)
{
    uint8_t data[64] = {0};
    if (request == TIOCGPGRP || request == TIOCSPGRP) { /* process groups of the host mean nothing inside */
        if (host_ioctl(host_fd_of(file), TCGETS, data, 0, TERMIOS_SIZE) < 0) {
            return -ENOTTY;
        }
        return exchange_group(stream_of(file)->console, request, argument);
    }
    for (size_t at = 0; at < ARRAY_LENGTH(requests); at++) {
        if (requests[at].request != request) {
            continue;
        }
        int64_t refusal = requests[at].changes_terminal ? check_background(stream_of(file), SIGTTOU) : 0;
        if (refusal < 0) {
            return refusal;
        }
        if (requests[at].in > 0 && copy_from_user(data, argument, requests[at].in) < 0) {
            return -EFAULT;
        }
        int64_t result = host_ioctl(host_fd_of(file), request, data, requests[at].in, requests[at].out);
        if (result >= 0 && requests[at].out > 0 && copy_to_user(argument, data, requests[at].out) < 0) {
            return -EFAULT;
        }
        return result < 0 ? result : 0;
    }
    return -ENOTTY;
}

/* /dev/tty: the stream that it has been opened for. */
static void terminal_release(struct file *file)
{
    inode_put(&stream_of(file)->inode);
}

static const struct file_operations file_operations = {
    .read = stream_read,
    .write = stream_write,
    .poll = stream_poll,
    .ioctl = stream_ioctl,
    .stream = true,
};
static const struct file_operations terminal_operations = {
    .read = stream_read,
    .write = stream_write,
    .poll = stream_poll,
    .ioctl = stream_ioctl,
    .release = terminal_release,
    .stream = true,
};

static int64_t stream_open(struct inode *inode, struct file *file)
{
    file->operations = &file_operations;
    file->state = CONTAINER_OF(inode, struct stream, inode);
    return 0;
}

/* Type, permissions, times and the device number are the host's word; owner and numbers are ours. */
static int64_t stream_refresh(struct inode *inode)
{
    struct host_stat stat;
    const struct stream *stream = CONTAINER_OF(inode, struct stream, inode);
    int result = host_stat(stream->host_fd, &stat);
    if (result < 0) {
        return result == -EBADF ? -EBADF : -EIO;
    }
    uint32_t type = stat.mode & S_IFMT;
    bool known = type == S_IFREG || type == S_IFCHR || type == S_IFIFO || type == S_IFSOCK;
    inode->mode = (known ? type : S_IFIFO) | ((stream->has_own_mode ? inode->mode : stat.mode) & 0777);
    inode->rdev = type == S_IFCHR ? stat.rdev : 0;
    inode->size = type == S_IFREG && (int64_t)stat.size >= 0 ? stat.size : 0;
    inode->mtime = (struct timespec){.seconds = stat.mtime_ns / (int64_t)NS_PER_SECOND};
    inode->atime = inode->ctime = inode->mtime;
    return 0;
}

/* Inside alone: a program that steps down gives its output away before, and then opens it anew. */
static int64_t stream_change(struct inode *inode, const struct attributes *attributes)
{
    CONTAINER_OF(inode, struct stream, inode)->has_own_mode |= (attributes->which & ATTRIBUTE_MODE) != 0;
    inode_take_attributes(inode, attributes);
    return 0;
}

static void stream_unused(struct inode *inode)
{
    struct stream *stream = CONTAINER_OF(inode, struct stream, inode);
    console_forget(stream->console, inode);
    console_put(stream->console);
    if (stream->host_fd >= STREAM_COUNT) { /* the PAL's own stay open */
        host_close(stream->host_fd);
    }
    release(stream, sizeof(struct stream));
}

static const struct inode_operations inode_operations = {
    .open = stream_open, .refresh = stream_refresh, .change = stream_change, .unused = stream_unused};
static const struct file_system file_system = {.type = "devpts", .magic = 0x1CD1, .device = 0x32};

static bool is_terminal(const struct stream *stream)
{
    uint8_t termios[64];
    return (stream->inode.mode & S_IFMT) == S_IFCHR && host_ioctl(stream->host_fd, TCGETS, termios, 0, TERMIOS_SIZE) >= 0;
}

static const char *const names[STREAM_COUNT] = {"/dev/stdin", "/dev/stdout", "/dev/stderr"};

/* With one count. NULL: out of memory. */
static struct stream *stream_create(int fd, int host_fd, struct console *console)
{
    struct stream *stream = allocate(sizeof(struct stream));
    if (!stream) {
        return NULL;
    }
    struct inode *inode = &stream->inode;
    stream->host_fd = host_fd;
    stream->console = console_get(console);
    inode->operations = &inode_operations;
    inode->file_system = &file_system;
    inode->references = 1;
    inode->links = 1;
    inode->uid = credentials()->user.file_system;
    inode->gid = credentials()->group.file_system;
    inode->number = new_inode_number();
    inode->name = (char *)(uintptr_t)names[fd];
    inode->name_length = strlen(names[fd]);
    return stream;
}

static int64_t open_as(int fd, struct stream *stream)
{
    bool has_terminal = is_terminal(stream);
    stream->is_terminal = has_terminal;
    if (has_terminal) {
        console_set_terminal(stream->console, &stream->inode);
        if (current_process() == &first_process) {
            inode_get(&stream->inode); /* for good: /dev/tty outlives descriptors */
        }
    }
    struct file *file;
    uint32_t flags = has_terminal ? O_RDWR : fd == 0 ? O_RDONLY : O_WRONLY;
    namespace_lock();
    int64_t result = file_create(&stream->inode, flags, &file);
    namespace_unlock();
    if (result == 0) {
        result = descriptor_set(fd, file, false);
        if (result < 0) {
            file_put(file);
        }
    }
    return result < 0 ? result : 0;
}

int64_t stream_open_all(const int32_t host_fds[STREAM_COUNT])
{
    struct console *console = console_create();
    int64_t result = console ? 0 : -ENOMEM;
    for (int fd = 0; fd < STREAM_COUNT; fd++) {
        struct stream *stream = host_fds[fd] >= 0 && result == 0 ? stream_create(fd, host_fds[fd], console) : NULL;
        if (!stream) {
            result = host_fds[fd] >= 0 ? -ENOMEM : result;
            if (host_fds[fd] >= 0) {
                host_close(host_fds[fd]);
            }
            continue;
        }
        if (stream_refresh(&stream->inode) == 0) { /* closed outside, closed inside */
            result = open_as(fd, stream);
        }
        inode_put(&stream->inode);
    }
    console_put(console);
    return result;
}

int64_t stream_open_terminal(struct file *file)
{
    struct inode *terminal = console_terminal();
    if (!terminal) {
        return -ENXIO;
    }
    file->operations = &terminal_operations;
    file->state = CONTAINER_OF(terminal, struct stream, inode);
    return 0;
}
