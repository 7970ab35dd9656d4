/* Control messages (cmsg(3)): struct cmsghdr, then data, each padded to eight bytes. */
#include "net/control.h"

struct header {
    uint64_t length; /* header included, without padding */
    uint32_t level;
    uint32_t type;
};

static uint32_t padded(uint64_t length)
{
    return (uint32_t)((length + 7) & ~7ULL);
}

bool control_next(const struct control *control, uint32_t *position, struct control_message *message)
{
    struct header header;
    if (*position > control->length || control->length - *position < sizeof(header)) {
        return false;
    }
    memcpy(&header, control->bytes + *position, sizeof(header));
    *message = (struct control_message){
        .level = header.level,
        .type = header.type,
        .data = control->bytes + *position + sizeof(header),
        .size = (size_t)header.length - sizeof(header),
    };
    *position += padded(header.length);
    return true;
}

bool control_is_good(const struct control *control)
{
    struct header header;
    for (uint32_t at = 0; at < control->length && control->length - at >= sizeof(header); at += padded(header.length)) {
        memcpy(&header, control->bytes + at, sizeof(header));
        if (header.length < sizeof(header) || header.length > control->length - at) {
            return false;
        }
    }
    return true;
}

size_t control_room(const struct message *message)
{
    uint32_t left = message->control.room - message->control.length;
    return left > sizeof(struct header) ? left - sizeof(struct header) : 0;
}

void control_put(struct message *message, uint32_t level, uint32_t type, const void *data, size_t size)
{
    struct control *control = &message->control;
    uint32_t left = control->room - control->length;
    struct header header = {.length = sizeof(header) + size, .level = level, .type = type};
    if (left < sizeof(header)) {
        message->received_flags |= MSG_CTRUNC;
        return;
    }
    if (header.length > left) {
        message->received_flags |= MSG_CTRUNC;
        header.length = left;
    }
    memcpy(control->bytes + control->length, &header, sizeof(header));
    memcpy(control->bytes + control->length + sizeof(header), data, (size_t)header.length - sizeof(header));
    uint32_t used = padded(header.length);
    memset(control->bytes + control->length + header.length, 0, (used < left ? used : left) - (size_t)header.length);
    control->length += used < left ? used : left;
}
