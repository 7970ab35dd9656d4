/* io_setup(2), io_submit(2) and their kin, in the order of Linux's checks (fs/aio.c of Linux). */
#include "fs/aio.h"
#include "fs/call_support.h"
#include "fs/event.h"
#include "fs/file_transfer.h"
#include "signal/signal.h"

enum opcode {
    IOCB_CMD_PREAD = 0, IOCB_CMD_PWRITE = 1, IOCB_CMD_FSYNC = 2, IOCB_CMD_FDSYNC = 3, IOCB_CMD_PREADV = 7, IOCB_CMD_PWRITEV = 8,
};

/* struct iocb of Linux */
struct request {
    uint64_t data;
    uint32_t key, transfer_flags;
    uint16_t opcode;
    int16_t priority;
    int32_t descriptor;
    user_address buffer;
    uint64_t length;
    int64_t offset;
    uint64_t reserved;
    uint32_t flags;
    int32_t event_descriptor;
};
_Static_assert(sizeof(struct request) == 64, "struct iocb");

#define IOCB_FLAG_RESFD 1U
#define KIOCB_KEY 0U /* what the kernel leaves in a request that it has taken */
#define EVENTS_LIMIT (0x10000000U / sizeof(struct aio_event) / 2)

int64_t sys_io_setup(const struct arguments *arguments)
{
    uint32_t events = (uint32_t)arguments->at[0];
    user_address id;
    if (copy_from_user(&id, arguments->at[1], sizeof(id)) < 0) {
        return -EFAULT;
    }
    if (id != 0 || events == 0 || events > EVENTS_LIMIT) {
        return -EINVAL;
    }
    int64_t result = aio_create(events, &id);
    if (result == 0 && copy_to_user(arguments->at[1], &id, sizeof(id)) < 0) {
        aio_destroy(id);
        return -EFAULT;
    }
    return result;
}

int64_t sys_io_destroy(const struct arguments *arguments)
{
    return aio_destroy(arguments->at[0]);
}

/* A refusal is the submission's; *result is the request's. */
static int64_t move_bytes(struct file *file, const struct request *request, int64_t *result)
{
    bool is_vector = request->opcode == IOCB_CMD_PREADV || request->opcode == IOCB_CMD_PWRITEV;
    bool writes = request->opcode == IOCB_CMD_PWRITE || request->opcode == IOCB_CMD_PWRITEV;
    transfer *move = writes ? write_from_user : read_to_user;
    uint64_t offset = (uint64_t)request->offset, *place = file->operations->stream ? NULL : &offset;
    int64_t error = check_transfer_flags(file, request->transfer_flags);
    if (error == 0 && !(writes ? is_writable(file) : is_readable(file))) {
        error = -EBADF;
    }
    if (error == 0 && ((writes ? !file->operations->write : !file->operations->read) || request->offset < 0)) {
        error = -EINVAL;
    }
    if (error == 0 && is_vector) {
        *result = transfer_vectors(file, request->buffer, request->length, move, place, request->transfer_flags);
        return *result == -EFAULT || *result == -EINVAL ? *result : 0;
    }
    if (error == 0) {
        *result = move(file, request->buffer, request->length, place);
        *result = writes ? after_transfer(file, request->transfer_flags, *result) : *result;
    }
    return error;
}

static int64_t synchronise(struct file *file, const struct request *request, int64_t *result)
{
    bool has_more = request->buffer != 0 || request->offset != 0 || request->length != 0 || request->transfer_flags != 0;
    if (has_more || (!is_regular(file->inode) && !is_directory(file->inode))) {
        return -EINVAL;
    }
    *result = file->operations->sync ? file->operations->sync(file) : 0;
    return 0;
}

static int64_t perform(const struct request *request, int64_t *result)
{
    struct file *file = opened_file_of_descriptor(request->descriptor);
    if (!file) {
        return -EBADF;
    }
    switch (request->opcode) {
    case IOCB_CMD_PREAD:
    case IOCB_CMD_PWRITE:
    case IOCB_CMD_PREADV:
    case IOCB_CMD_PWRITEV:
        return on_file(file, move_bytes(file, request, result));
    case IOCB_CMD_FSYNC:
    case IOCB_CMD_FDSYNC:
        return on_file(file, synchronise(file, request, result));
    default: /* IOCB_CMD_POLL, too, is not done before it returns */
        return on_file(file, -EINVAL);
    }
}

/* Who is told of the end; *event is counted, or NULL. */
static int64_t find_event(const struct request *request, struct file **event)
{
    *event = NULL;
    if ((request->flags & IOCB_FLAG_RESFD) == 0) {
        return 0;
    }
    struct file *file = opened_file_of_descriptor(request->event_descriptor);
    if (!file || !is_event(file)) {
        file_put(file);
        return !file ? -EBADF : -EINVAL;
    }
    *event = file;
    return 0;
}

static int64_t check_request(const struct request *request)
{
    bool is_valid = request->reserved == 0 && (int64_t)request->length >= 0;
    struct file *file = is_valid ? opened_file_of_descriptor(request->descriptor) : NULL;
    int64_t result = !is_valid ? -EINVAL : !file ? -EBADF : 0;
    file_put(file);
    return result;
}

static int64_t submit_reserved(struct aio_context *context, user_address from, const struct request *request)
{
    struct file *event = NULL;
    uint32_t key = KIOCB_KEY;
    int64_t done = 0, result = check_request(request);
    result = result < 0 ? result : find_event(request, &event);
    if (result == 0 && copy_to_user(from + offsetof(struct request, key), &key, sizeof(key)) < 0) {
        result = -EFAULT;
    }
    result = result < 0 ? result : perform(request, &done);
    if (result == 0) {
        aio_complete(context, &(struct aio_event){.data = request->data, .request = from, .result = done});
    }
    if (result == 0 && event) {
        event_signal(event);
    }
    file_put(event);
    return result;
}

static int64_t submit_one(struct aio_context *context, user_address from)
{
    struct request request;
    if (copy_from_user(&request, from, sizeof(request)) < 0) {
        return -EFAULT;
    }
    if (!aio_reserve(context)) {
        return request.reserved == 0 && (int64_t)request.length >= 0 ? -EAGAIN : -EINVAL;
    }
    int64_t result = submit_reserved(context, from, &request);
    if (result < 0) {
        aio_give_back(context);
    }
    return result;
}

int64_t sys_io_submit(const struct arguments *arguments)
{
    int64_t count = (int64_t)arguments->at[1], done = 0, result = 0;
    if (count < 0) {
        return -EINVAL;
    }
    struct aio_context *context = aio_get(arguments->at[0]);
    if (!context) {
        return -EINVAL;
    }
    count = count < (int64_t)aio_capacity(context) ? count : (int64_t)aio_capacity(context);
    while (done < count && result == 0) {
        user_address from;
        result = copy_from_user(&from, arguments->at[2] + (uint64_t)done * sizeof(from), sizeof(from));
        result = result < 0 ? -EFAULT : submit_one(context, from);
        done += result == 0;
    }
    aio_put(context);
    return done > 0 ? done : result;
}

static int64_t take_events(const struct arguments *arguments, uint64_t timeout_ns)
{
    struct aio_context *context = aio_get(arguments->at[0]);
    if (!context) {
        return -EINVAL;
    }
    int64_t least = (int64_t)arguments->at[1], most = (int64_t)arguments->at[2];
    int64_t result = least < 0 || least > most
                         ? -EINVAL
                         : aio_take(context, (uint64_t)least, (uint64_t)most, arguments->at[3], timeout_ns);
    aio_put(context);
    return result;
}

int64_t sys_io_getevents(const struct arguments *arguments)
{
    uint64_t timeout_ns;
    int64_t result = optional_timeout(&timeout_ns, arguments->at[4]);
    return result < 0 ? result : take_events(arguments, timeout_ns);
}

int64_t sys_io_pgetevents(const struct arguments *arguments)
{
    uint64_t timeout_ns;
    struct mask_place place;
    int64_t result = optional_timeout(&timeout_ns, arguments->at[4]);
    if (result == 0) {
        result = signal_find_mask(&place, arguments->at[5]);
    }
    if (result == 0) {
        result = signal_set_temporary_mask(place.mask, place.size);
    }
    return result < 0 ? result : take_events(arguments, timeout_ns);
}

/* Whatever was submitted has been done. */
int64_t sys_io_cancel(const struct arguments *arguments)
{
    uint32_t key;
    if (copy_from_user(&key, arguments->at[1] + offsetof(struct request, key), sizeof(key)) < 0) {
        return -EFAULT;
    }
    return -EINVAL;
}
