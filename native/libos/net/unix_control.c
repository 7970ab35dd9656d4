#include "net/unix_control.h"

#define RIGHTS_MAX 253U /* SCM_MAX_FD of Linux */

/* Sockets that are sent over one another, and closed, reach nobody any more. Linux searches for them; here this many
 * files may be on their way at once. */
#define FLIGHT_MAX 4096U
static uint32_t in_flight;

void rights_release(struct rights *rights)
{
    for (uint32_t at = 0; at < rights->count; at++) {
        file_put(rights->files[at]);
    }
    __atomic_fetch_sub(&in_flight, rights->count, __ATOMIC_RELAXED);
    release(rights->files, rights->count * sizeof(struct file *));
    *rights = (struct rights){0};
}

/* Room for more files; what is there is kept. */
static int64_t grow(struct rights *rights, uint32_t more)
{
    uint32_t count = rights->count + more;
    if (count > RIGHTS_MAX) {
        return -EINVAL;
    }
    if (__atomic_add_fetch(&in_flight, more, __ATOMIC_RELAXED) > FLIGHT_MAX) {
        __atomic_fetch_sub(&in_flight, more, __ATOMIC_RELAXED);
        return -ETOOMANYREFS;
    }
    struct file **files = allocate(count * sizeof(struct file *));
    if (!files) {
        __atomic_fetch_sub(&in_flight, more, __ATOMIC_RELAXED);
        return -ENOMEM;
    }
    if (rights->count > 0) {
        memcpy(files, rights->files, rights->count * sizeof(struct file *));
        release(rights->files, rights->count * sizeof(struct file *));
    }
    rights->files = files;
    rights->count = count; /* of which the last ones are NULL, which file_put() takes */
    return 0;
}

static int64_t import_rights(const struct control_message *control, struct rights *rights)
{
    uint32_t count = (uint32_t)(control->size / sizeof(int32_t)), first = rights->count;
    if (control->size > RIGHTS_MAX * sizeof(int32_t)) {
        return -EINVAL;
    }
    int64_t result = count == 0 ? 0 : grow(rights, count);
    for (uint32_t at = 0; at < count && result == 0; at++) {
        int32_t descriptor;
        memcpy(&descriptor, control->data + at * sizeof(descriptor), sizeof(descriptor));
        rights->files[first + at] = file_of_descriptor(descriptor);
        result = !rights->files[first + at] ? -EBADF : 0;
    }
    return result;
}

static bool is_own(uint32_t id, const struct ids *ids)
{
    return id == ids->real || id == ids->effective || id == ids->saved;
}

/* scm_check_creds() of Linux. */
static int64_t import_credentials(const struct control_message *control, struct sender *from)
{
    const struct credentials *own = credentials();
    if (control->size != sizeof(*from)) {
        return -EINVAL;
    }
    memcpy(from, control->data, sizeof(*from));
    bool may = (from->process == current_process()->id || is_capable(CAP_SYS_ADMIN)) &&
               (is_own(from->user, &own->user) || is_capable(CAP_SETUID)) &&
               (is_own(from->group, &own->group) || is_capable(CAP_SETGID));
    return may ? 0 : -EPERM;
}

static int64_t import(const struct control *controls, struct cargo *cargo)
{
    struct control_message control;
    uint32_t position = 0;
    int64_t result = 0;
    while (result == 0 && control_next(controls, &position, &control)) {
        if (control.level != SOL_SOCKET) {
            continue; /* __scm_send() of Linux */
        }
        switch (control.type) {
        case SCM_RIGHTS:
            result = import_rights(&control, &cargo->rights);
            break;
        case SCM_CREDENTIALS:
            result = import_credentials(&control, &cargo->from);
            break;
        default:
            result = -EINVAL;
        }
    }
    return result;
}

void cargo_discard(struct cargo *cargo)
{
    rights_release(&cargo->rights);
    release(cargo, sizeof(struct cargo));
}

int64_t cargo_load(struct message *message)
{
    if (message->cargo || message->control.length == 0) {
        return 0;
    }
    struct cargo *cargo = allocate(sizeof(struct cargo));
    if (!cargo) {
        return -ENOMEM;
    }
    cargo->from = sender_current();
    int64_t result = import(&message->control, cargo);
    if (result < 0) {
        cargo_discard(cargo);
        return result;
    }
    message->cargo = cargo;
    return 0;
}

struct rights rights_copy(const struct rights *rights)
{
    struct rights copy = {0};
    if (rights->count == 0 || grow(&copy, rights->count) < 0) {
        return copy;
    }
    for (uint32_t at = 0; at < rights->count; at++) {
        file_get(copy.files[at] = rights->files[at]);
    }
    return copy;
}

void rights_deliver(struct message *message, struct rights *rights)
{
    int32_t descriptors[RIGHTS_MAX];
    size_t room = control_room(message) / sizeof(int32_t);
    uint32_t count = 0;
    while (count < rights->count && count < room) {
        int64_t descriptor = descriptor_add(rights->files[count], 0, (message->flags & MSG_CMSG_CLOEXEC) != 0);
        if (descriptor < 0) {
            break;
        }
        rights->files[count] = NULL; /* the descriptor has the count */
        descriptors[count++] = (int32_t)descriptor;
    }
    if (count > 0) {
        control_put(message, SOL_SOCKET, SCM_RIGHTS, descriptors, count * sizeof(int32_t));
    }
    message->received_flags |= count < rights->count ? MSG_CTRUNC : 0;
    rights_release(rights);
}
