/* Calls about sockets and their names. Checks come in the order of Linux (net/socket.c). */
#include "net/address.h"
#include "net/families.h"
#include "net/socket.h"

/* -EINVAL for flags that do not exist; the family in *family. */
static int64_t find_family(uint64_t domain, uint32_t type, const struct socket_family **family)
{
    if ((type & ~(SOCK_TYPE_MASK | SOCK_CLOEXEC | SOCK_NONBLOCK)) != 0) {
        return -EINVAL;
    }
    if (domain >= AF_MAX) {
        return -EAFNOSUPPORT;
    }
    if ((type & SOCK_TYPE_MASK) >= SOCK_TYPE_MAX) {
        return -EINVAL;
    }
    *family = family_of((uint32_t)domain);
    return !*family ? -EAFNOSUPPORT : 0;
}

static void discard(struct socket *socket)
{
    socket->operations->close(socket);
}

int64_t sys_socket(const struct arguments *arguments)
{
    uint32_t type = (uint32_t)arguments->at[1];
    const struct socket_family *family;
    struct socket *socket;
    struct file *file;
    int64_t result = find_family((uint32_t)arguments->at[0], type, &family);
    if (result == 0) {
        result = family->create((enum socket_type)(type & SOCK_TYPE_MASK), (uint32_t)arguments->at[2], &socket);
    }
    if (result < 0) {
        return result;
    }
    result = socket_open(socket, type, &file);
    if (result < 0) {
        discard(socket);
        return result;
    }
    return install(file, (type & SOCK_CLOEXEC) != 0);
}

/* Linux makes the sockets first: what is wrong with them is told before the family knows no pairs. */
static int64_t pair_of(const struct socket_family *family, enum socket_type type, uint32_t protocol, struct socket *ends[2])
{
    if (family->pair) {
        return family->pair(type, protocol, ends);
    }
    int64_t result = family->create(type, protocol, &ends[0]);
    if (result == 0) {
        discard(ends[0]);
    }
    return result < 0 && result != -EACCES ? result : -EOPNOTSUPP; /* what the policy forbids would be no pair either */
}

int64_t sys_socketpair(const struct arguments *arguments)
{
    uint32_t type = (uint32_t)arguments->at[1];
    const struct socket_family *family;
    struct socket *ends[2];
    struct file *files[2];
    int32_t before[2];
    if ((type & ~(SOCK_TYPE_MASK | SOCK_CLOEXEC | SOCK_NONBLOCK)) != 0) {
        return -EINVAL;
    }
    if (copy_from_user(before, arguments->at[3], sizeof(before)) < 0 || copy_to_user(arguments->at[3], before, sizeof(before)) < 0) {
        return -EFAULT;
    }
    int64_t result = find_family((uint32_t)arguments->at[0], type, &family);
    if (result == 0) {
        result = pair_of(family, (enum socket_type)(type & SOCK_TYPE_MASK), (uint32_t)arguments->at[2], ends);
    }
    if (result < 0) {
        return result;
    }
    result = socket_open(ends[0], type, &files[0]);
    if (result < 0) {
        discard(ends[0]);
        discard(ends[1]);
        return result;
    }
    result = socket_open(ends[1], type, &files[1]);
    if (result < 0) {
        file_put(files[0]);
        discard(ends[1]);
        return result;
    }
    return install_two(files, (type & SOCK_CLOEXEC) != 0, arguments->at[3]);
}

static int64_t bind_call(struct file *file, struct socket *socket, const struct arguments *arguments)
{
    (void)file;
    struct address address;
    int64_t result = address_from_user(&address, arguments->at[1], (int32_t)arguments->at[2]);
    if (result < 0) {
        return result;
    }
    return !socket->operations->bind ? -EOPNOTSUPP : socket->operations->bind(socket, &address);
}

int64_t sys_bind(const struct arguments *arguments)
{
    return on_socket(arguments, bind_call);
}

static int64_t connect_step(struct socket *socket, void *context, struct poller *poller)
{
    return socket->operations->connect(socket, context, poller);
}

static int64_t connect_to(struct file *file, struct address *address)
{
    struct socket *socket = socket_of(file);
    if (!socket) {
        return -ENOTSOCK;
    }
    return !socket->operations->connect ? -EOPNOTSUPP
                                        : socket_wait(socket, connect_step, address, send_timeout(file, socket, 0));
}

/* Of any file the address is taken in before it has to be a socket. */
int64_t sys_connect(const struct arguments *arguments)
{
    struct address address;
    struct file *file = file_at(arguments, 0);
    if (!file) {
        return -EBADF;
    }
    int64_t result = address_from_user(&address, arguments->at[1], (int32_t)arguments->at[2]);
    result = result < 0 ? result : connect_to(file, &address);
    file_put(file);
    return result;
}

static int64_t listen_call(struct file *file, struct socket *socket, const struct arguments *arguments)
{
    (void)file;
    return !socket->operations->listen ? -EOPNOTSUPP
                                       : socket->operations->listen(socket, (int32_t)arguments->at[1]);
}

int64_t sys_listen(const struct arguments *arguments)
{
    return on_socket(arguments, listen_call);
}

struct acceptance {
    struct socket *connected;
    struct address peer;
};

static int64_t accept_step(struct socket *socket, void *context, struct poller *poller)
{
    struct acceptance *acceptance = context;
    return socket->operations->accept(socket, &acceptance->connected, &acceptance->peer, poller);
}

/* The new file, or a negative errno; the connection is closed when the application cannot be told who it is from. */
static int64_t accept_file(struct file *file, struct socket *socket, uint32_t flags, user_address name,
    user_address name_length, struct file **accepted)
{
    struct acceptance acceptance = {0};
    if (!socket->operations->accept) {
        return -EOPNOTSUPP;
    }
    int64_t result = socket_wait(socket, accept_step, &acceptance, receive_timeout(file, socket, 0));
    if (result < 0) {
        return result;
    }
    result = socket_open(acceptance.connected, flags, accepted);
    if (result < 0) {
        discard(acceptance.connected);
        return result;
    }
    result = name == 0 ? 0 : address_to_user_sized(&acceptance.peer, name, name_length);
    if (result < 0) {
        file_put(*accepted);
    }
    return result;
}

static int64_t accept_call(const struct arguments *arguments, uint32_t flags)
{
    struct file *file, *accepted = NULL;
    struct socket *socket;
    if ((flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) != 0) {
        return -EINVAL;
    }
    int64_t result = socket_at(arguments, 0, &file, &socket);
    if (result < 0) {
        return result;
    }
    struct descriptor_slot slot; /* a connection stays where it is until there is one */
    result = descriptor_reserve(&slot, (flags & SOCK_CLOEXEC) != 0);
    if (result == 0) {
        result = accept_file(file, socket, flags, arguments->at[1], arguments->at[2], &accepted);
        result = descriptor_fill(&slot, result, accepted);
    }
    file_put(file);
    return result;
}

int64_t sys_accept(const struct arguments *arguments)
{
    return accept_call(arguments, 0);
}

int64_t sys_accept4(const struct arguments *arguments)
{
    return accept_call(arguments, (uint32_t)arguments->at[3]);
}

static int64_t give_name(struct socket *socket, const struct arguments *arguments, bool peer)
{
    struct address address = {0};
    int64_t result = !socket->operations->name ? -EOPNOTSUPP : socket->operations->name(socket, peer, &address);
    return result < 0 ? result : address_to_user_sized(&address, arguments->at[1], arguments->at[2]);
}

static int64_t name_call(struct file *file, struct socket *socket, const struct arguments *arguments)
{
    (void)file;
    return give_name(socket, arguments, false);
}

int64_t sys_getsockname(const struct arguments *arguments)
{
    return on_socket(arguments, name_call);
}

static int64_t peer_name_call(struct file *file, struct socket *socket, const struct arguments *arguments)
{
    (void)file;
    return give_name(socket, arguments, true);
}

int64_t sys_getpeername(const struct arguments *arguments)
{
    return on_socket(arguments, peer_name_call);
}

static int64_t shutdown_call(struct file *file, struct socket *socket, const struct arguments *arguments)
{
    (void)file;
    uint32_t how = (uint32_t)arguments->at[1];
    if (how > SHUT_RDWR) {
        return -EINVAL;
    }
    return !socket->operations->shutdown ? -EOPNOTSUPP
                                         : socket->operations->shutdown(socket, (enum shutdown_how)how);
}

int64_t sys_shutdown(const struct arguments *arguments)
{
    return on_socket(arguments, shutdown_call);
}
