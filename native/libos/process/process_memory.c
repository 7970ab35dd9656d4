/* Memory of other processes: process_vm_readv(2). The caller goes into their memory for each piece, as a thread of theirs, and back. */
#include "process/process.h"

#define PIECE (16 * PAGE_SIZE)

/* Where in a vector the next byte lies. */
struct cursor {
    struct iovec *vector;
    uint64_t count, at, offset;
};

/* The next range, at most `most` bytes; 0: there is none. */
static uint64_t next_range(struct cursor *cursor, uint64_t most, user_address *start)
{
    while (cursor->at < cursor->count && cursor->offset == cursor->vector[cursor->at].length) {
        cursor->at++;
        cursor->offset = 0;
    }
    if (cursor->at == cursor->count) {
        return 0;
    }
    uint64_t left = cursor->vector[cursor->at].length - cursor->offset;
    *start = cursor->vector[cursor->at].base + cursor->offset;
    return left < most ? left : most;
}

struct transfer {
    const struct subject *subject;
    struct cursor local, remote;
    uint8_t *buffer;
    bool writes;
};

static int64_t copy_remote(const struct transfer *transfer, user_address address, uint64_t length)
{
    struct space *own = current_space();
    struct subject_facts facts;
    int64_t error = subject_visit(transfer->subject, &facts);
    if (!error) {
        error = transfer->writes ? copy_to_user(address, transfer->buffer, length) : copy_from_user(transfer->buffer, address, length);
        space_end_visit(own);
    }
    return error;
}

/* One page at most where it may fail in the middle, so that what could be reached has been transferred. -> bytes, 0: all is done. */
static int64_t transfer_piece(struct transfer *transfer, uint64_t most)
{
    user_address local, remote;
    uint64_t length = next_range(&transfer->local, most, &local);
    length = length ? next_range(&transfer->remote, length, &remote) : 0;
    if (!length) {
        return 0;
    }
    uint64_t to_border = PAGE_SIZE - remote % PAGE_SIZE;
    length = most <= PAGE_SIZE && to_border < length ? to_border : length;
    int64_t error = transfer->writes ? copy_from_user(transfer->buffer, local, length) : copy_remote(transfer, remote, length);
    error = error            ? error
            : transfer->writes ? copy_remote(transfer, remote, length)
                             : copy_to_user(local, transfer->buffer, length);
    if (error) {
        return error;
    }
    transfer->local.offset += length;
    transfer->remote.offset += length;
    return (int64_t)length;
}

static int64_t transfer_all(struct transfer *transfer)
{
    int64_t done = 0, moved;
    for (uint64_t most = PIECE;; done += moved) {
        moved = transfer_piece(transfer, most);
        if (moved < 0 && most > PAGE_SIZE) {
            most = PAGE_SIZE;
            moved = transfer_piece(transfer, most);
        }
        if (moved <= 0) {
            return done ? done : moved;
        }
    }
}

static int64_t transfer_with(int32_t id, struct transfer *transfer)
{
    struct subject subject;
    struct subject_facts facts;
    int64_t error = subject_of_id(id, &subject);
    error = error ? error : subject_look(&subject, &facts);
    error = error ? error : subject_may_be_inspected(&facts, INSPECTS_BY_CALL); /* PTRACE_MODE_ATTACH_REALCREDS */
    transfer->subject = &subject;
    return error ? error : transfer_all(transfer);
}

/* process_vm_rw() of Linux, in its order. */
static int64_t move(const struct arguments *arguments, bool writes)
{
    uint64_t local_count = arguments->at[2], remote_count = arguments->at[4];
    if (arguments->at[5] || local_count > IOV_MAX) {
        return -EINVAL;
    }
    struct iovec *vectors = allocate(2 * IOV_MAX * sizeof *vectors);
    uint8_t *buffer = pages_allocate(PIECE / PAGE_SIZE);
    struct transfer transfer = {
        .local = {.vector = vectors, .count = local_count},
        .remote = {.vector = vectors + IOV_MAX, .count = remote_count},
        .buffer = buffer,
        .writes = writes,
    };
    int64_t result = vectors && buffer ? iovec_import(vectors, arguments->at[1], local_count) : -ENOMEM;
    if (result > 0) {
        result = remote_count > IOV_MAX ? -EINVAL : copy_from_user(vectors + IOV_MAX, arguments->at[3], remote_count * sizeof *vectors);
        uint64_t wanted = 0;
        for (uint64_t at = 0; !result && at < remote_count; at++) {
            wanted |= transfer.remote.vector[at].length;
            result = transfer.remote.vector[at].length > INT64_MAX ? -EINVAL : 0;
        }
        result = result || !wanted ? result : transfer_with((int32_t)arguments->at[0], &transfer);
    }
    release(vectors, 2 * IOV_MAX * sizeof *vectors);
    if (buffer) {
        pages_release(buffer, PIECE / PAGE_SIZE);
    }
    return result;
}

int64_t sys_process_vm_readv(const struct arguments *arguments)
{
    return move(arguments, false);
}

int64_t sys_process_vm_writev(const struct arguments *arguments)
{
    return move(arguments, true);
}
