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
