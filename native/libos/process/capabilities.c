/* Capabilities of a thread, and how they are given up: capset(2), prctl(2), capabilities(7). */
#include "process/process.h"

static struct credentials *own(void)
{
    return &current_task()->credentials;
}

/* capget(2): the versions of the interface, and how many words each set has in them. */
struct capability_version {
    uint32_t number;
    uint32_t words;
};
static const struct capability_version versions[] = {{0x19980330, 1}, {0x20071026, 2}, {0x20080522, 2}};
#define NEWEST_VERSION 0x20080522U

struct capability_header {
    uint32_t version;
    int32_t id;
};
struct capability_words {
    uint32_t effective, permitted, inheritable;
};

/* How many words, or a negative errno; an unknown version is answered with the newest. */
static int64_t import_header(user_address address, struct capability_header *header)
{
    if (copy_from_user(header, address, sizeof *header)) {
        return -EFAULT;
    }
    for (size_t i = 0; i < ARRAY_LENGTH(versions); i++) {
        if (versions[i].number == header->version) {
            return versions[i].words;
        }
    }
    uint32_t newest = NEWEST_VERSION;
    return copy_to_user(address, &newest, sizeof newest) ? -EFAULT : -EINVAL;
}

static bool is_this_task(int32_t id)
{
    return id == 0 || id == task_id(current_task());
}

struct credentials_query {
    int32_t id;
    struct credentials found;
    bool is_found;
};

static bool note_credentials(struct task *task, void *context)
{
    struct credentials_query *query = context;
    query->is_found = task_id(task) == query->id;
    if (query->is_found) {
        query->found = task->credentials;
    }
    return !query->is_found;
}

int64_t sys_capget(const struct arguments *arguments)
{
    struct capability_header header;
    int64_t words = import_header(arguments->at[0], &header);
    if (words < 0) {
        return words == -EINVAL && !arguments->at[1] ? 0 : words;
    }
    if (header.id < 0) {
        return -EINVAL;
    }
    struct credentials_query query = {.id = header.id ? header.id : task_id(current_task())};
    task_each(note_credentials, &query);
    if (!query.is_found) {
        return -ESRCH;
    }
    struct capability_words sets[2];
    for (size_t i = 0; i < ARRAY_LENGTH(sets); i++) {
        sets[i] = (struct capability_words){
            .effective = (uint32_t)(query.found.effective >> (32 * i)),
            .permitted = (uint32_t)(query.found.permitted >> (32 * i)),
            .inheritable = (uint32_t)(query.found.inheritable >> (32 * i)),
        };
    }
    return arguments->at[1] ? copy_to_user(arguments->at[1], sets, (size_t)words * sizeof sets[0]) : 0;
}

int64_t sys_capset(const struct arguments *arguments)
{
    struct capability_header header;
    struct capability_words sets[2] = {0};
    int64_t words = import_header(arguments->at[0], &header);
    if (words < 0) {
        return words;
    }
    if (!is_this_task(header.id)) {
        return -EPERM;
    }
    if (copy_from_user(sets, arguments->at[1], (size_t)words * sizeof sets[0])) {
        return -EFAULT;
    }
    struct credentials *who = own();
    uint64_t all = (CAPABILITY_BIT(CAP_LAST) << 1) - 1;
    uint64_t effective = (sets[0].effective | (uint64_t)sets[1].effective << 32) & all;
    uint64_t permitted = (sets[0].permitted | (uint64_t)sets[1].permitted << 32) & all;
    uint64_t inheritable = (sets[0].inheritable | (uint64_t)sets[1].inheritable << 32) & all;
    bool may_inherit = !(inheritable & ~(who->inheritable | who->permitted)) || is_capable(CAP_SETPCAP);
    if (!may_inherit || (inheritable & ~(who->inheritable | who->bounding)) ||
        (permitted & ~who->permitted) || (effective & ~permitted)) {
        return -EPERM;
    }
    who->effective = effective;
    who->permitted = permitted;
    who->inheritable = inheritable;
    who->ambient &= permitted & inheritable;
    return 0;
}

enum {
    PR_GET_KEEPCAPS = 7, PR_SET_KEEPCAPS = 8, PR_CAPBSET_READ = 23, PR_CAPBSET_DROP = 24, PR_GET_SECUREBITS = 27,
    PR_SET_SECUREBITS = 28, PR_SET_NO_NEW_PRIVS = 38, PR_GET_NO_NEW_PRIVS = 39, PR_CAP_AMBIENT = 47,
};
enum { AMBIENT_IS_SET = 1, AMBIENT_RAISE = 2, AMBIENT_LOWER = 3, AMBIENT_CLEAR_ALL = 4 };

static int64_t change_ambient(uint64_t operation, uint64_t capability, uint64_t rest)
{
    struct credentials *who = own();
    if (rest || (operation == AMBIENT_CLEAR_ALL ? capability != 0 : capability > CAP_LAST)) {
        return -EINVAL;
    }
    uint64_t bit = CAPABILITY_BIT(capability);
    switch (operation) {
    case AMBIENT_CLEAR_ALL:
        who->ambient = 0;
        return 0;
    case AMBIENT_IS_SET:
        return (who->ambient & bit) != 0;
    case AMBIENT_RAISE:
        if (!(who->permitted & who->inheritable & bit) || (who->secure_bits & SECURE_NO_CAP_AMBIENT_RAISE)) {
            return -EPERM;
        }
        who->ambient |= bit;
        return 0;
    case AMBIENT_LOWER:
        who->ambient &= ~bit;
        return 0;
    default:
        return -EINVAL;
    }
}

/* cap_task_prctl() of Linux: what is locked stays, and so does the lock. */
static int64_t set_secure_bits(struct credentials *who, uint64_t wanted)
{
    uint64_t locks = who->secure_bits & SECURE_LOCKS, changed = who->secure_bits ^ wanted;
    bool is_known = (wanted & ~(uint64_t)(SECURE_BITS | SECURE_LOCKS)) == 0;
    if (!is_known || (locks >> 1 & changed) || (locks & ~wanted) || !is_capable(CAP_SETPCAP)) {
        return -EPERM;
    }
    who->secure_bits = (uint32_t)wanted;
    return 0;
}

int64_t credentials_prctl(const uint64_t arguments[5])
{
    struct credentials *who = own();
    switch (arguments[0]) {
    case PR_GET_KEEPCAPS:
        return (who->secure_bits & SECURE_KEEP_CAPS) != 0;
    case PR_SET_KEEPCAPS:
        if (arguments[1] > 1) {
            return -EINVAL;
        }
        if (who->secure_bits & SECURE_KEEP_CAPS << 1) {
            return -EPERM;
        }
        who->secure_bits = (who->secure_bits & ~(uint32_t)SECURE_KEEP_CAPS) | (arguments[1] ? SECURE_KEEP_CAPS : 0);
        return 0;
    case PR_CAPBSET_READ:
        return arguments[1] > CAP_LAST ? -EINVAL : (who->bounding & CAPABILITY_BIT(arguments[1])) != 0;
    case PR_CAPBSET_DROP:
        if (!is_capable(CAP_SETPCAP)) {
            return -EPERM;
        }
        if (arguments[1] > CAP_LAST) {
            return -EINVAL;
        }
        who->bounding &= ~CAPABILITY_BIT(arguments[1]);
        return 0;
    case PR_GET_SECUREBITS:
        return who->secure_bits;
    case PR_SET_SECUREBITS:
        return set_secure_bits(who, arguments[1]);
    case PR_SET_NO_NEW_PRIVS:
        if (arguments[1] != 1 || arguments[2] || arguments[3] || arguments[4]) {
            return -EINVAL;
        }
        who->no_new_privileges = true;
        return 0;
    case PR_GET_NO_NEW_PRIVS:
        return arguments[1] || arguments[2] || arguments[3] || arguments[4] ? -EINVAL : who->no_new_privileges;
    case PR_CAP_AMBIENT:
        return change_ambient(arguments[1], arguments[2], arguments[3] | arguments[4]);
    default:
        return -ENOSYS;
    }
}
