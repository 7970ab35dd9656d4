#include "fs/lease.h"

#include "fs/owner.h"
#include "fs/tree.h"

enum lease_type { F_RDLCK = 0, F_WRLCK = 1, F_UNLCK = 2 };

struct lease {
    struct lease *next;
    const struct file *file; /* not counted: it takes its lease along */
    int32_t descriptor;
    enum lease_type type, target; /* what it is, and what it has to become */
    uint64_t deadline;            /* of CLOCK_MONOTONIC; 0: nobody wants it broken */
};
static struct mutex lock;
static struct wait_queue waiters;
static struct lease *leases; /* atomic where nobody needs more than whether there is one */

static struct lease *find(const struct file *file)
{
    struct lease *lease = leases;
    while (lease && lease->file != file) {
        lease = lease->next;
    }
    return lease;
}

static void take_out(struct lease *lease)
{
    struct lease **link = &leases;
    while (*link != lease) {
        link = &(*link)->next;
    }
    __atomic_store_n(link, lease->next, __ATOMIC_SEQ_CST);
    release(lease, sizeof(struct lease));
}

/* time_out_leases() of Linux. */
static void take_overdue(void)
{
    uint64_t now = clock_now_ns(CLOCK_MONOTONIC);
    for (struct lease *lease = leases, *next; lease; lease = next) {
        next = lease->next;
        if (lease->deadline == 0 || now < lease->deadline) {
            continue;
        }
        if (lease->target == F_UNLCK) {
            take_out(lease);
        } else {
            lease->type = lease->target;
            lease->deadline = 0;
        }
    }
}

static uint32_t count(const uint32_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_SEQ_CST);
}

/* check_conflicting_open() of Linux. */
static bool is_opened_otherwise(const struct file *file, enum lease_type type)
{
    const struct inode *inode = file->inode;
    if (type == F_RDLCK) {
        return count(&inode->open_to_write) > 0;
    }
    bool writes = is_writable(file);
    return count(&inode->open_to_write) != writes || count(&inode->open_to_read) != !writes;
}

/* Another lease that does not go with it: generic_add_lease(). */
static bool is_leased_otherwise(const struct file *file, enum lease_type type)
{
    for (const struct lease *other = leases; other; other = other->next) {
        if (other->file != file && other->file->inode == file->inode &&
            (type == F_WRLCK || (other->deadline != 0 && other->target == F_UNLCK))) {
            return true;
        }
    }
    return false;
}

static int64_t put(const struct file *file, int32_t descriptor, enum lease_type type, struct lease **spare)
{
    struct lease *lease = find(file);
    if (type == F_UNLCK) {
        if (!lease) {
            return -EAGAIN;
        }
        take_out(lease);
        wake_all(&waiters);
        return 0;
    }
    if (is_opened_otherwise(file, type) || is_leased_otherwise(file, type)) {
        return -EAGAIN;
    }
    if (!lease) {
        if (!*spare) {
            return -ENOMEM;
        }
        lease = *spare;
        *spare = NULL;
        *lease = (struct lease){.next = leases, .file = file, .descriptor = descriptor};
        __atomic_store_n(&leases, lease, __ATOMIC_SEQ_CST);
    }
    lease->type = lease->target = type;
    lease->deadline = 0;
    wake_all(&waiters);
    return 0;
}

int64_t lease_set(struct file *file, int32_t descriptor, uint32_t type)
{
    if (type > F_UNLCK) {
        return -EINVAL;
    }
    const struct inode *inode = file->inode;
    if (credentials()->user.file_system != inode->uid) {
        return -EACCES; /* nobody has CAP_LEASE */
    }
    bool is_inside = inode->file_system == &root_file_system || inode->file_system == &memory_file_system;
    if (!is_regular(inode) || !is_inside) {
        return -EINVAL; /* who else opens a file of the host cannot be seen */
    }
    struct lease *spare = type == F_UNLCK ? NULL : allocate(sizeof(struct lease));
    if (type != F_UNLCK) {
        owner_default(file);
    }
    mutex_lock(&lock);
    take_overdue();
    int64_t result = put(file, descriptor, (enum lease_type)type, &spare);
    mutex_unlock(&lock);
    release(spare, sizeof(struct lease));
    return result;
}

int64_t lease_of(const struct file *file)
{
    mutex_lock(&lock);
    take_overdue();
    const struct lease *lease = find(file);
    int64_t type = lease ? (int64_t)lease->target : F_UNLCK;
    mutex_unlock(&lock);
    return type;
}

void lease_forget(const struct file *file)
{
    if (!__atomic_load_n(&leases, __ATOMIC_SEQ_CST)) {
        return;
    }
    mutex_lock(&lock);
    struct lease *lease = find(file);
    if (lease) {
        take_out(lease);
        wake_all(&waiters);
    }
    mutex_unlock(&lock);
}

static bool conflicts(const struct lease *lease, const struct inode *inode, bool writes)
{
    return lease->file->inode == inode && (writes || lease->type == F_WRLCK);
}

/* Until when the last of those that conflict has to be gone; 0: none does. */
static uint64_t latest_deadline(const struct inode *inode, bool writes)
{
    uint64_t latest = 0;
    for (const struct lease *lease = leases; lease; lease = lease->next) {
        latest = conflicts(lease, inode, writes) && lease->deadline > latest ? lease->deadline : latest;
    }
    return latest;
}

static bool is_writing(uint32_t flags)
{
    return (flags & O_ACCMODE) != O_RDONLY;
}

int64_t lease_break(struct inode *inode, uint32_t flags)
{
    bool writes = is_writing(flags);
    if (!__atomic_load_n(&leases, __ATOMIC_SEQ_CST)) {
        return 0;
    }
    mutex_lock(&lock);
    take_overdue();
    bool is_leased = false;
    for (struct lease *lease = leases; lease; lease = lease->next) {
        enum lease_type target = writes ? F_UNLCK : F_RDLCK;
        if (!conflicts(lease, inode, writes)) {
            continue;
        }
        is_leased = true;
        if (lease->deadline == 0 || (lease->target != F_UNLCK && writes)) {
            lease->target = target;
            lease->deadline = clock_now_ns(CLOCK_MONOTONIC) + LEASE_BREAK_SECONDS * NS_PER_SECOND;
            owner_tell(lease->file, lease->descriptor, POLL_MSG);
        }
    }
    mutex_unlock(&lock);
    return !is_leased ? 0 : (flags & O_NONBLOCK) ? -EAGAIN : 1;
}

int64_t lease_await(struct inode *inode, uint32_t flags)
{
    int64_t result = 0;
    mutex_lock(&lock);
    for (uint64_t deadline; result == 0 && (deadline = latest_deadline(inode, is_writing(flags))) != 0;) {
        uint64_t now = clock_now_ns(CLOCK_MONOTONIC);
        if (now >= deadline) {
            break;
        }
        result = wait_queue_sleep(&waiters, &lock, deadline - now);
        result = result == -ETIMEDOUT ? 0 : result;
    }
    mutex_unlock(&lock);
    return result;
}
