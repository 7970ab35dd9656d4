#include "fs/file_lock.h"

#include "fs/synthetic.h"

#define LOCK_SH 1U
#define LOCK_EX 2U
#define LOCK_NB 4U
#define LOCK_UN 8U

enum lock_type { F_RDLCK = 0, F_WRLCK = 1, F_UNLCK = 2 };
enum lock_space { WHOLE_FILES, RECORDS }; /* flock's locks and fcntl's do not see each other */

struct flock {
    int16_t type, whence;
    int32_t padding;
    int64_t start, length;
    int32_t pid;
    int32_t padding2;
};
_Static_assert(sizeof(struct flock) == 32, "as in Linux");

/* A held or wanted lock on the bytes `first` to `last` of a file. The owner is an open file description, or the table of
 * descriptors, which stands for the process (as in Linux). */
struct file_lock {
    struct file_lock *next;
    const struct inode *inode;
    const void *owner;
    int32_t pid; /* of who took it; -1: a record lock of a description */
    enum lock_space space;
    enum lock_type type;
    int64_t first, last;
};

static struct mutex lock;
static struct wait_queue waiters;
static struct file_lock *held;

static bool is_same_place(const struct file_lock *one, const struct file_lock *other)
{
    return one->inode == other->inode && one->space == other->space && one->first <= other->last &&
           other->first <= one->last;
}

/* The first in the file, which F_GETLK tells. */
static const struct file_lock *find_conflict(const struct file_lock *wanted)
{
    const struct file_lock *found = NULL;
    for (const struct file_lock *at = held; at; at = at->next) {
        bool conflicts = is_same_place(at, wanted) && at->owner != wanted->owner &&
                         (at->type == F_WRLCK || wanted->type == F_WRLCK);
        found = conflicts && (!found || at->first < found->first) ? at : found;
    }
    return found;
}

/* Who waits for another's lock; on the stack of who waits. */
struct waiting {
    struct waiting *next;
    const struct file_lock *wanted;
    const void *blocker;
};
static struct waiting *all_waiting;

/* Open file descriptions cannot tell who waits for whom. */
static bool is_of_process(const struct file_lock *wanted)
{
    return wanted->space == RECORDS && wanted->pid != -1;
}

static const struct waiting *waiting_of(const void *owner)
{
    const struct waiting *waiting = all_waiting;
    while (waiting && !(is_of_process(waiting->wanted) && waiting->wanted->owner == owner)) {
        waiting = waiting->next;
    }
    return waiting;
}

#define CHAIN_MAX 10 /* MAX_DEADLK_ITERATIONS of Linux */

/* Would `owner` wait for itself? posix_locks_deadlock() of Linux. */
static bool is_deadlock(const void *owner, const void *blocker)
{
    for (int step = 0; step < CHAIN_MAX; step++) {
        const struct waiting *waiting = waiting_of(blocker);
        if (!waiting) {
            return false;
        }
        blocker = waiting->blocker;
        if (blocker == owner) {
            return true;
        }
    }
    return false;
}

static void add(struct file_lock *node, const struct file_lock *content)
{
    *node = *content;
    node->next = held;
    held = node;
}

/* Takes [first, last] out of what the owner holds. *spare is used where a lock is cut in two. */
static void carve(const struct file_lock *range, struct file_lock **spare)
{
    struct file_lock **link = &held;
    while (*link) {
        struct file_lock *at = *link;
        if (at->owner != range->owner || !is_same_place(at, range)) {
            link = &at->next;
            continue;
        }
        bool keeps_left = at->first < range->first, keeps_right = at->last > range->last;
        if (keeps_left && keeps_right) {
            struct file_lock right = *at;
            right.first = range->last + 1;
            at->last = range->first - 1;
            add(*spare, &right);
            *spare = NULL;
            return; /* an owner's locks do not overlap each other */
        }
        if (keeps_left) {
            at->last = range->first - 1;
        } else if (keeps_right) {
            at->first = range->last + 1;
        } else {
            *link = at->next;
            release(at, sizeof *at);
            continue;
        }
        link = &at->next;
    }
}

/* Sleeps until some lock has changed. */
static int64_t wait_for(const struct file_lock *wanted, const struct file_lock *conflict)
{
    if (is_of_process(wanted) && is_deadlock(wanted->owner, conflict->owner)) {
        return -EDEADLK;
    }
    struct waiting self = {.next = all_waiting, .wanted = wanted, .blocker = conflict->owner};
    all_waiting = &self;
    int64_t result = wait_queue_sleep(&waiters, &lock, NO_TIMEOUT);
    struct waiting **link = &all_waiting;
    while (*link != &self) {
        link = &(*link)->next;
    }
    *link = self.next;
    return result;
}

/* Locks of one kind that an owner has side by side are one. */
static void join(struct file_lock *node)
{
    for (struct file_lock **link = &held; *link;) {
        struct file_lock *at = *link;
        bool is_kin = at != node && at->inode == node->inode && at->owner == node->owner && at->space == node->space &&
                      at->type == node->type;
        bool touches = is_kin && ((node->last != INT64_MAX && at->first == node->last + 1) ||
                                     (at->last != INT64_MAX && at->last + 1 == node->first));
        if (!touches) {
            link = &at->next;
            continue;
        }
        node->first = at->first < node->first ? at->first : node->first;
        node->last = at->last > node->last ? at->last : node->last;
        *link = at->next;
        release(at, sizeof *at);
        link = &held; /* what it reaches now */
    }
}

static int64_t set_lock(const struct file_lock *wanted, bool waits)
{
    const struct file_lock *conflict;
    struct file_lock *spare = allocate(sizeof *spare), *node = allocate(sizeof *node);
    int64_t result = spare && node ? 0 : -ENOLCK;
    mutex_lock(&lock);
    if (result == 0 && wanted->space == WHOLE_FILES) {
        carve(wanted, &spare); /* flock(2): the old lock goes first, also when the new one cannot be had */
        wake_all(&waiters);
    }
    while (result == 0 && wanted->type != F_UNLCK && (conflict = find_conflict(wanted))) {
        result = waits ? wait_for(wanted, conflict) : -EAGAIN;
    }
    if (result == 0) {
        carve(wanted, &spare);
        if (wanted->type != F_UNLCK) {
            add(node, wanted);
            join(node);
            node = NULL;
        }
        wake_all(&waiters);
    }
    mutex_unlock(&lock);
    release(spare, sizeof *spare);
    release(node, sizeof *node);
    return result;
}

int64_t file_lock_whole(struct file *file, uint32_t operation)
{
    struct file_lock wanted = {
        .inode = file->inode, .owner = file, .pid = current_process()->id, .space = WHOLE_FILES, .first = 0, .last = INT64_MAX};
    switch (operation & ~LOCK_NB) {
    case LOCK_SH:
        wanted.type = F_RDLCK;
        break;
    case LOCK_EX:
        wanted.type = F_WRLCK;
        break;
    case LOCK_UN:
        wanted.type = F_UNLCK;
        break;
    default:
        return -EINVAL;
    }
    if (wanted.type != F_UNLCK && !is_readable(file) && !is_writable(file)) {
        return -EBADF;
    }
    return set_lock(&wanted, (operation & LOCK_NB) == 0);
}

/* l_whence, l_start and l_len to the first and the last byte. */
static int64_t import_range(struct file *file, const struct flock *from, struct file_lock *to)
{
    int64_t base = 0, first, last = INT64_MAX;
    switch (from->whence) {
    case 0:
        break;
    case 1:
        base = (int64_t)file->position;
        break;
    case 2:
        base = (int64_t)size_now_of(file->inode);
        break;
    default:
        return -EINVAL;
    }
    if (__builtin_add_overflow(base, from->start, &first)) {
        return -EOVERFLOW;
    }
    if (first < 0) {
        return -EINVAL;
    }
    if (from->length > 0 && __builtin_add_overflow(first, from->length - 1, &last)) {
        return -EOVERFLOW;
    }
    if (from->length < 0) {
        last = first - 1;
        if (__builtin_add_overflow(first, from->length, &first) || first < 0) {
            return -EINVAL;
        }
    }
    to->first = first;
    to->last = last;
    return 0;
}

static int64_t test_lock(struct flock *answer, const struct file_lock *wanted, user_address to)
{
    mutex_lock(&lock);
    const struct file_lock *conflict = find_conflict(wanted);
    answer->type = F_UNLCK;
    if (conflict) {
        answer->type = (int16_t)conflict->type;
        answer->whence = 0;
        answer->start = conflict->first;
        answer->length = conflict->last == INT64_MAX ? 0 : conflict->last - conflict->first + 1;
        answer->pid = conflict->pid;
    }
    mutex_unlock(&lock);
    return copy_to_user(to, answer, sizeof *answer);
}

int64_t file_lock_record(struct file *file, enum lock_action action, bool of_description, user_address from)
{
    struct flock asked;
    if (file->flags & O_PATH) {
        return -EBADF;
    }
    if (copy_from_user(&asked, from, sizeof asked)) {
        return -EFAULT;
    }
    bool bad_type = asked.type < F_RDLCK || asked.type > F_UNLCK || (action == LOCK_TEST && asked.type == F_UNLCK);
    if (bad_type || (of_description && asked.pid != 0)) {
        return -EINVAL;
    }
    struct file_lock wanted = {.inode = file->inode,
        .owner = of_description ? (const void *)file : current_task()->files.descriptors,
        .pid = of_description ? -1 : current_process()->id,
        .space = RECORDS,
        .type = (enum lock_type)asked.type};
    int64_t result = import_range(file, &asked, &wanted);
    if (result != 0) {
        return result;
    }
    if (action == LOCK_TEST) {
        return test_lock(&asked, &wanted, from);
    }
    if ((asked.type == F_RDLCK && !is_readable(file)) || (asked.type == F_WRLCK && !is_writable(file))) {
        return -EBADF;
    }
    return set_lock(&wanted, action == LOCK_WAIT);
}

static void unlock_all(const struct inode *inode, const void *owner, enum lock_space space)
{
    struct file_lock *no_spare = NULL; /* nothing is cut in two */
    carve(&(struct file_lock){.inode = inode, .owner = owner, .space = space, .first = 0, .last = INT64_MAX},
        &no_spare);
}

void file_unlock_process(const struct file *file, const struct descriptor_table *table)
{
    if (!__atomic_load_n(&held, __ATOMIC_ACQUIRE)) {
        return;
    }
    mutex_lock(&lock);
    unlock_all(file->inode, table, RECORDS);
    wake_all(&waiters);
    mutex_unlock(&lock);
}

void file_unlock_description(const struct file *file)
{
    if (!__atomic_load_n(&held, __ATOMIC_ACQUIRE)) {
        return;
    }
    mutex_lock(&lock);
    unlock_all(file->inode, file, WHOLE_FILES);
    unlock_all(file->inode, file, RECORDS);
    wake_all(&waiters);
    mutex_unlock(&lock);
}

/* lock_get_status() of Linux. */
static void tell(struct text *text, unsigned number, const struct file_lock *told, bool waits)
{
    uint32_t device = told->inode->file_system->device;
    text_add(text, "%u: %s%s ADVISORY  %s %d %02x:%02x:%llu ", number, waits ? "-> " : "",
        told->space == WHOLE_FILES ? "FLOCK " : told->pid == -1 ? "OFDLCK" : "POSIX ",
        told->type == F_WRLCK ? "WRITE" : "READ", told->pid, device >> 8 & 0xFFF, device & 0xFF,
        (unsigned long long)told->inode->number);
    if (told->last == INT64_MAX) {
        text_add(text, "%lld EOF\n", (long long)told->first);
    } else {
        text_add(text, "%lld %lld\n", (long long)told->first, (long long)told->last);
    }
}

void file_locks_tell(struct text *text)
{
    unsigned number = 0;
    mutex_lock(&lock);
    for (const struct file_lock *at = held; at; at = at->next) {
        tell(text, ++number, at, false);
        for (const struct waiting *waiting = all_waiting; waiting; waiting = waiting->next) {
            if (find_conflict(waiting->wanted) == at) {
                tell(text, number, waiting->wanted, true);
            }
        }
    }
    mutex_unlock(&lock);
}
