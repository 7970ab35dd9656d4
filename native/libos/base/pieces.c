#include "base/base.h"

typedef size_t copy_part(void *bytes, user_address address, size_t size);

static size_t copy_pieces(const struct pieces *pieces, uint64_t begin, uint8_t *bytes, size_t size, copy_part *copy)
{
    size_t done = 0;
    for (size_t at = 0; at < pieces->count && done < size; at++) {
        const struct iovec *piece = &pieces->vector[at];
        if (begin >= piece->length) {
            begin -= piece->length;
            continue;
        }
        uint64_t left = piece->length - begin;
        size_t part = left < size - done ? (size_t)left : size - done;
        size_t copied = copy(bytes + done, piece->base + begin, part);
        done += copied;
        if (copied < part) {
            break;
        }
        begin = 0;
    }
    return done;
}

static size_t scatter_part(void *bytes, user_address address, size_t size)
{
    return copy_some_to_user(address, bytes, size);
}

size_t copy_some_from_pieces(void *to, const struct pieces *pieces, uint64_t begin, size_t size)
{
    return copy_pieces(pieces, begin, to, size, copy_some_from_user);
}

size_t copy_some_to_pieces(const struct pieces *pieces, uint64_t begin, const void *from, size_t size)
{
    return copy_pieces(pieces, begin, (uint8_t *)(uintptr_t)from, size, scatter_part);
}

static uint64_t writable_part(user_address base, uint64_t length)
{
    if (length == 0 || (user_is_writable(base) && user_is_writable(base + length - 1))) {
        return length;
    }
    uint64_t done = 0;
    while (done < length && user_is_writable(base + done)) {
        done += PAGE_SIZE - (base + done) % PAGE_SIZE;
    }
    return done < length ? done : length;
}

uint64_t writable_length(const struct pieces *pieces, uint64_t most)
{
    uint64_t done = 0;
    most = most < pieces->total ? most : pieces->total;
    for (size_t at = 0; at < pieces->count && done < most; at++) {
        const struct iovec *piece = &pieces->vector[at];
        uint64_t part = piece->length < most - done ? piece->length : most - done;
        uint64_t writable = writable_part(piece->base, part);
        done += writable;
        if (writable < part) {
            break;
        }
    }
    return done;
}
