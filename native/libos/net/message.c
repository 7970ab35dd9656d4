/* Calls that send and receive. Checks come in the order of Linux (net/socket.c). */
#include "net/address.h"
#include "net/control.h"
#include "net/socket.h"
#include "net/transfer.h"
#include "time/time.h"

#define TRANSFER_MAX 0x7FFFF000ULL /* MAX_RW_COUNT of Linux */
#define MESSAGES_MAX 1024U         /* UIO_MAXIOV: of sendmmsg */
#define VECTOR_SHORT 8U

static uint64_t capped(uint64_t length)
{
    return length < TRANSFER_MAX ? length : TRANSFER_MAX;
}

static int64_t send_pieces(struct file *file, struct socket *socket, struct message *message, const struct pieces *pieces)
{
    int64_t result = transfer_send(socket, message, pieces, send_timeout(file, socket, message->flags));
    return raise_broken_pipe(socket, message->flags, result);
}

/* With MSG_TRUNC, the length of a datagram is told even where it was cut. */
static int64_t receive_pieces(
    struct file *file, struct socket *socket, struct message *message, const struct pieces *pieces)
{
    int64_t result = transfer_receive(socket, message, pieces, receive_timeout(file, socket, message->flags));
    bool was_cut = result >= 0 && (message->received_flags & MSG_TRUNC) != 0;
    return was_cut && (message->flags & MSG_TRUNC) != 0 ? (int64_t)message->full_length : result;
}

int64_t socket_vector(struct file *file, const struct iovec *vector, size_t count, bool writes)
{
    struct message message = {0};
    struct pieces pieces = {.vector = vector, .count = count};
    for (size_t at = 0; at < count; at++) {
        pieces.total += vector[at].length;
    }
    if (pieces.total == 0 && !writes) {
        return 0; /* sock_read_iter() of Linux */
    }
    return (writes ? send_pieces : receive_pieces)(file, file->state, &message, &pieces);
}

static int64_t send_to(struct file *file, struct socket *socket, const struct arguments *arguments)
{
    const struct iovec vector = {.base = arguments->at[1], .length = capped(arguments->at[2])};
    const struct pieces pieces = {.vector = &vector, .count = 1, .total = vector.length};
    struct message message = {.flags = (uint32_t)arguments->at[3]};
    int64_t result = 0;
    if (arguments->at[4] != 0) {
        result = address_from_user(&message.address, arguments->at[4], (int32_t)arguments->at[5]);
    }
    return result < 0 ? result : send_pieces(file, socket, &message, &pieces);
}

/* import_ubuf() of Linux, before the socket is looked for. */
static bool is_buffer_possible(const struct arguments *arguments)
{
    return user_range_is_possible(arguments->at[1], capped(arguments->at[2]));
}

int64_t sys_sendto(const struct arguments *arguments)
{
    return is_buffer_possible(arguments) ? on_socket(arguments, send_to) : -EFAULT;
}

static int64_t receive_from(struct file *file, struct socket *socket, const struct arguments *arguments)
{
    const struct iovec vector = {.base = arguments->at[1], .length = capped(arguments->at[2])};
    const struct pieces pieces = {.vector = &vector, .count = 1, .total = vector.length};
    struct message message = {.flags = (uint32_t)arguments->at[3]};
    int64_t result = receive_pieces(file, socket, &message, &pieces);
    if (result >= 0 && arguments->at[4] != 0) {
        int64_t told = address_to_user_sized(&message.address, arguments->at[4], arguments->at[5]);
        result = told < 0 ? told : result;
    }
    return result;
}

int64_t sys_recvfrom(const struct arguments *arguments)
{
    return is_buffer_possible(arguments) ? on_socket(arguments, receive_from) : -EFAULT;
}

/* struct msghdr of x86-64. */
struct user_header {
    user_address name;
    int32_t name_length;
    uint32_t padding;
    user_address vector;
    uint64_t vector_count;
    user_address control;
    uint64_t control_length;
    uint32_t flags;
    uint32_t padding_at_end;
};
_Static_assert(sizeof(struct user_header) == 56, "struct msghdr");

/* One struct msghdr taken in, for one message. */
struct call {
    struct user_header header;
    struct iovec few[VECTOR_SHORT];
    struct iovec *vector;
    struct pieces pieces;
    struct message message;
};

static void call_end(struct call *call)
{
    if (call->vector != call->few) {
        release(call->vector, (size_t)call->header.vector_count * sizeof(struct iovec));
    }
    buffer_give(&path_buffers, call->message.control.bytes);
}

static int64_t take_vector(struct call *call)
{
    const struct user_header *header = &call->header;
    if (header->vector_count > IOV_MAX) {
        return -EMSGSIZE;
    }
    if (header->vector_count > VECTOR_SHORT) {
        struct iovec *vector = allocate((size_t)header->vector_count * sizeof(struct iovec));
        if (!vector) {
            return -ENOMEM;
        }
        call->vector = vector;
    }
    int64_t total = iovec_import(call->vector, header->vector, header->vector_count);
    call->pieces = (struct pieces){
        .vector = call->vector, .count = (size_t)header->vector_count, .total = capped((uint64_t)total)};
    return total < 0 ? total : 0;
}

/* After this, call_end() is due, whatever the result. */
static int64_t call_begin(struct call *call, user_address from, uint32_t flags)
{
    call->vector = call->few;
    call->message = (struct message){.flags = flags};
    if (copy_from_user(&call->header, from, sizeof(call->header)) < 0) {
        call->header.vector_count = 0;
        return -EFAULT;
    }
    return call->header.name != 0 && call->header.name_length < 0 ? -EINVAL : take_vector(call);
}

static int64_t control_buffer(struct call *call)
{
    call->message.control.bytes = buffer_take(&path_buffers);
    return !call->message.control.bytes ? -ENOMEM : 0;
}

static int64_t take_control(struct call *call)
{
    struct control *control = &call->message.control;
    if (call->header.control_length == 0) {
        return 0;
    }
    if (call->header.control_length > CONTROL_MAX) {
        return -ENOBUFS;
    }
    int64_t result = control_buffer(call);
    if (result == 0) {
        control->length = (uint32_t)call->header.control_length;
        result = copy_from_user(control->bytes, call->header.control, control->length);
    }
    return result < 0 ? result : control_is_good(control) ? 0 : -EINVAL;
}

static int64_t send_message(struct file *file, struct socket *socket, user_address from, uint32_t flags)
{
    struct call call;
    int64_t result = call_begin(&call, from, flags);
    if (result == 0 && call.header.name != 0 && call.header.name_length > 0) {
        int32_t most = sizeof(call.message.address.bytes);
        result = address_from_user(
            &call.message.address, call.header.name, call.header.name_length < most ? call.header.name_length : most);
    }
    result = result < 0 ? result : take_control(&call);
    result = result < 0 ? result : send_pieces(file, socket, &call.message, &call.pieces);
    if (call.message.cargo) {
        socket->operations->discard_cargo(call.message.cargo);
    }
    call_end(&call);
    return result;
}

/* Where and what is told of a message that was received: the fields of struct msghdr that the call writes. */
static int64_t give_header(const struct call *call, user_address to)
{
    const struct message *message = &call->message;
    const struct user_header *header = &call->header;
    uint32_t flags = message->received_flags | (message->flags & MSG_CMSG_CLOEXEC);
    uint64_t control_length = message->control.length;
    if (header->name != 0) {
        if (address_to_user(&message->address, header->name, header->name_length) < 0 ||
            copy_to_user(to + offsetof(struct user_header, name_length), &message->address.length, sizeof(uint32_t)) < 0) {
            return -EFAULT;
        }
    }
    if (copy_to_user(header->control, message->control.bytes, message->control.length) < 0 ||
        copy_to_user(to + offsetof(struct user_header, control_length), &control_length, sizeof(control_length)) < 0 ||
        copy_to_user(to + offsetof(struct user_header, flags), &flags, sizeof(flags)) < 0) {
        return -EFAULT;
    }
    return 0;
}

static int64_t receive_message(struct file *file, struct socket *socket, user_address to, uint32_t flags)
{
    struct call call;
    int64_t result = call_begin(&call, to, flags);
    if (result == 0 && call.header.control != 0 && call.header.control_length > 0) {
        result = control_buffer(&call);
        call.message.control.room =
            call.header.control_length < CONTROL_MAX ? (uint32_t)call.header.control_length : CONTROL_MAX;
    }
    result = result < 0 ? result : receive_pieces(file, socket, &call.message, &call.pieces);
    if (result >= 0) {
        int64_t given = give_header(&call, to);
        result = given < 0 ? given : result;
    }
    call_end(&call);
    return result;
}

static int64_t send_one(struct file *file, struct socket *socket, const struct arguments *arguments)
{
    return send_message(file, socket, arguments->at[1], (uint32_t)arguments->at[2]);
}

int64_t sys_sendmsg(const struct arguments *arguments)
{
    return on_socket(arguments, send_one);
}

static int64_t receive_one(struct file *file, struct socket *socket, const struct arguments *arguments)
{
    return receive_message(file, socket, arguments->at[1], (uint32_t)arguments->at[2]);
}

int64_t sys_recvmsg(const struct arguments *arguments)
{
    return on_socket(arguments, receive_one);
}

typedef int64_t one_message(struct file *file, struct socket *socket, user_address header, uint32_t flags);

#define MMSGHDR_SIZE 64U /* struct msghdr, then the bytes of the message in a uint32_t */

/* The message at an index of an array of struct mmsghdr. */
static int64_t numbered(
    struct file *file, struct socket *socket, user_address array, uint32_t index, uint32_t flags, one_message *one)
{
    user_address at = array + (uint64_t)index * MMSGHDR_SIZE;
    int64_t result = one(file, socket, at, flags);
    uint32_t length = (uint32_t)result;
    return result < 0 ? result : copy_to_user(at + sizeof(struct user_header), &length, sizeof(length));
}

static int64_t send_several(struct file *file, struct socket *socket, const struct arguments *arguments)
{
    uint32_t count = (uint32_t)arguments->at[2], done = 0;
    int64_t result = 0;
    count = count < MESSAGES_MAX ? count : MESSAGES_MAX;
    while (done < count && result >= 0) {
        result = numbered(file, socket, arguments->at[1], done, (uint32_t)arguments->at[3], send_message);
        done += result >= 0;
    }
    return done > 0 ? (int64_t)done : result;
}

int64_t sys_sendmmsg(const struct arguments *arguments)
{
    return on_socket(arguments, send_several);
}

/* The time is looked at after each message only (recvmmsg(2), BUGS). */
int64_t sys_recvmmsg(const struct arguments *arguments)
{
    struct file *file;
    struct socket *socket;
    uint64_t timeout_ns = NO_TIMEOUT, start = 0, passed = 0;
    uint32_t count = (uint32_t)arguments->at[2], flags = (uint32_t)arguments->at[3], done = 0;
    if (arguments->at[4] != 0) {
        int64_t bad = timeout_from_user(&timeout_ns, arguments->at[4]);
        if (bad < 0) {
            return bad;
        }
        start = clock_now_ns(CLOCK_MONOTONIC);
    }
    int64_t result = socket_at(arguments, 0, &file, &socket);
    if (result < 0) {
        return result;
    }
    while (done < count && result >= 0) {
        result = numbered(file, socket, arguments->at[1], done, flags & ~MSG_WAITFORONE, receive_message);
        done += result >= 0;
        flags |= (flags & MSG_WAITFORONE) != 0 ? MSG_DONTWAIT : 0;
        passed = timeout_ns != NO_TIMEOUT ? clock_now_ns(CLOCK_MONOTONIC) - start : 0;
        if (passed >= timeout_ns) {
            break;
        }
    }
    file_put(file);
    if (done > 0 && timeout_ns != NO_TIMEOUT) {
        struct timespec rest = timespec_of(passed < timeout_ns ? timeout_ns - passed : 0);
        result = copy_to_user(arguments->at[4], &rest, sizeof(rest));
    }
    return done > 0 && result != -EFAULT ? (int64_t)done : result;
}
