/* Sockets as open files, and waiting for what a family cannot do yet. */
#include "net/socket.h"

#include "net/interfaces.h"
#include "signal/signal.h"

struct attempt {
    struct socket *socket;
    socket_step *step;
    void *context;
    int64_t result;
};

static bool must_wait(int64_t result)
{
    return result == -EAGAIN || result == -EINPROGRESS || result == -EALREADY;
}

static int64_t scan(void *context, struct poller *poller)
{
    struct attempt *attempt = context;
    attempt->result = attempt->step(attempt->socket, attempt->context, poller);
    return !must_wait(attempt->result);
}

int64_t socket_wait(struct socket *socket, socket_step *step, void *context, uint64_t timeout_ns)
{
    struct attempt attempt = {.socket = socket, .step = step, .context = context};
    attempt.result = step(socket, context, NULL);
    if (!must_wait(attempt.result) || timeout_ns == 0) {
        return attempt.result;
    }
    int64_t result = poll_until(scan, &attempt, timeout_ns);
    if (result == -EINTR && timeout_ns != NO_TIMEOUT) {
        result = -ERESTART_RESTARTBLOCK; /* a handler ends it for good, whatever its flags: sock_intr_errno() of Linux */
    }
    return result < 0 ? result : attempt.result;
}

static int64_t send_step(struct socket *socket, void *context, struct poller *poller)
{
    return socket->operations->send(socket, context, poller);
}

int64_t socket_send(struct socket *socket, struct message *message, uint64_t timeout_ns)
{
    return !socket->operations->send ? -EOPNOTSUPP : socket_wait(socket, send_step, message, timeout_ns);
}

static int64_t receive_step(struct socket *socket, void *context, struct poller *poller)
{
    return socket->operations->receive(socket, context, poller);
}

int64_t socket_receive(struct socket *socket, struct message *message, uint64_t timeout_ns)
{
    return !socket->operations->receive ? -EOPNOTSUPP : socket_wait(socket, receive_step, message, timeout_ns);
}

static bool waits(const struct file *file, uint32_t flags)
{
    return (file->flags & O_NONBLOCK) == 0 && (flags & MSG_DONTWAIT) == 0;
}

uint64_t send_timeout(const struct file *file, const struct socket *socket, uint32_t flags)
{
    return waits(file, flags) ? socket->send_timeout_ns : 0;
}

uint64_t receive_timeout(const struct file *file, const struct socket *socket, uint32_t flags)
{
    bool looks_only = (flags & MSG_ERRQUEUE) != 0;
    return waits(file, flags) && !looks_only ? socket->receive_timeout_ns : 0;
}

int64_t raise_broken_pipe(const struct socket *socket, uint32_t flags, int64_t result)
{
    if (result == -EPIPE && socket->type == SOCK_STREAM && (flags & MSG_NOSIGNAL) == 0) {
        signal_send_current(SIGPIPE);
    }
    return result;
}

/* Open files. */

static int64_t file_read(struct file *file, void *to, size_t length, uint64_t *offset)
{
    struct socket *socket = file->state;
    struct message message = {.data = to, .length = length};
    (void)offset;
    return socket_receive(socket, &message, receive_timeout(file, socket, 0));
}

static int64_t file_write(struct file *file, const void *from, size_t length, uint64_t *offset)
{
    struct socket *socket = file->state;
    struct message message = {.data = (uint8_t *)(uintptr_t)from, .length = length};
    (void)offset;
    return raise_broken_pipe(socket, 0, socket_send(socket, &message, send_timeout(file, socket, 0)));
}

static uint32_t file_poll_socket(struct file *file, struct poller *poller)
{
    struct socket *socket = file->state;
    return socket->operations->poll(socket, poller);
}

static int file_host_descriptor(const struct file *file)
{
    const struct socket *socket = file->state;
    return !socket->operations->host_descriptor ? -1 : socket->operations->host_descriptor(socket);
}

static bool file_is_read_up(struct file *file)
{
    struct socket *socket = file->state;
    return socket->operations->is_read_up && socket->operations->is_read_up(socket);
}

static bool file_has_ahead(struct file *file)
{
    struct socket *socket = file->state;
    return socket->operations->has_ahead && socket->operations->has_ahead(socket);
}

/* Linux, include/uapi/asm-generic/sockios.h: other names for F_SETOWN and F_GETOWN. */
enum { FIOSETOWN = 0x8901, SIOCSPGRP = 0x8902, FIOGETOWN = 0x8903, SIOCGPGRP = 0x8904 };

static int64_t owner_ioctl(struct file *file, bool is_set, user_address argument)
{
    int32_t who = file_owner(file);
    if (!is_set) {
        return copy_to_user(argument, &who, sizeof(who));
    }
    int64_t result = copy_from_user(&who, argument, sizeof(who));
    return result < 0 ? result : file_set_owner(file, who);
}

static int64_t file_ioctl(struct file *file, uint32_t request, user_address argument)
{
    struct socket *socket = file->state;
    if (request >= FIOSETOWN && request <= SIOCGPGRP) {
        return owner_ioctl(file, request == FIOSETOWN || request == SIOCSPGRP, argument);
    }
    int64_t result = !socket->operations->ioctl ? -ENOTTY : socket->operations->ioctl(socket, request, argument);
    return result == -ENOTTY ? interface_ioctl(request, argument) : result; /* of any family (netdevice(7)) */
}

static void file_release(struct file *file)
{
    struct socket *socket = file->state;
    socket->operations->close(socket);
}

static const struct file_operations operations = {
    .tells_owner = OWNER_HEARS_OF_DATA,
    .read = file_read,
    .write = file_write,
    .vector = socket_vector,
    .poll = file_poll_socket,
    .host_descriptor = file_host_descriptor,
    .is_read_up = file_is_read_up,
    .has_ahead = file_has_ahead,
    .ioctl = file_ioctl,
    .release = file_release,
    .stream = true,
};

struct socket *socket_of(const struct file *file)
{
    return file->operations == &operations ? file->state : NULL;
}

void socket_initialise(struct socket *socket, const struct socket_operations *socket_operations, uint32_t domain,
    uint32_t type, uint32_t protocol)
{
    *socket = (struct socket){
        .operations = socket_operations,
        .domain = (uint16_t)domain,
        .type = (uint16_t)type,
        .protocol = protocol,
        .receive_timeout_ns = NO_TIMEOUT,
        .send_timeout_ns = NO_TIMEOUT,
    };
}

int64_t socket_open(struct socket *socket, uint32_t flags, struct file **file)
{
    int64_t result = file_create_anonymous(
        &operations, "socket", S_IFSOCK | 0777, O_RDWR | (flags & O_NONBLOCK), socket, file);
    if (result == 0) {
        socket->file = *file;
        socket->inode = (*file)->inode->number;
        socket->owner = (*file)->inode->uid;
    }
    return result;
}

int64_t socket_at(const struct arguments *arguments, uint32_t index, struct file **file, struct socket **socket)
{
    *file = file_at(arguments, index);
    if (!*file) {
        return -EBADF;
    }
    *socket = socket_of(*file);
    if (!*socket) {
        file_put(*file);
        return -ENOTSOCK;
    }
    return 0;
}

int64_t on_socket(const struct arguments *arguments, socket_call *call)
{
    struct file *file;
    struct socket *socket;
    int64_t result = socket_at(arguments, 0, &file, &socket);
    if (result < 0) {
        return result;
    }
    result = call(file, socket, arguments);
    file_put(file);
    return result;
}
