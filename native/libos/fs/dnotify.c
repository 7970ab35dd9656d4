#include "fs/dnotify.h"

#include "fs/owner.h"

/* DN_* (Linux, include/uapi/linux/fcntl.h), and of what inotify tells each means: convert_arg() of Linux. */
#define DN_MULTISHOT 0x80000000U
static const uint32_t meanings[] = {
    IN_ACCESS,                 /* DN_ACCESS, 1 */
    IN_MODIFY,                 /* DN_MODIFY, 2 */
    IN_CREATE | IN_MOVED_TO,   /* DN_CREATE, 4 */
    IN_DELETE | IN_MOVED_FROM, /* DN_DELETE, 8 */
    DNOTIFY_RENAMED,           /* DN_RENAME, 16 */
    IN_ATTRIB,                 /* DN_ATTRIB, 32 */
};

struct watch {
    struct watch *next;
    const struct file *file; /* not counted: it takes its watch along */
    int32_t descriptor;
    uint32_t events;
    bool stays; /* DN_MULTISHOT: it tells more than once */
};
static struct mutex lock;
static struct watch *watches; /* atomic where nobody needs more than whether there is one */

bool dnotify_is_used(void)
{
    return __atomic_load_n(&watches, __ATOMIC_ACQUIRE) != NULL;
}

static struct watch **find(const struct file *file)
{
    struct watch **link = &watches;
    while (*link && (*link)->file != file) {
        link = &(*link)->next;
    }
    return link;
}

static void take_out(struct watch **link)
{
    struct watch *watch = *link;
    __atomic_store_n(link, watch->next, __ATOMIC_RELEASE);
    release(watch, sizeof(struct watch));
}

void dnotify_forget(const struct file *file)
{
    if (!dnotify_is_used()) {
        return;
    }
    mutex_lock(&lock);
    struct watch **link = find(file);
    if (*link) {
        take_out(link);
    }
    mutex_unlock(&lock);
}

/* fcntl_dirnotify() of Linux: events are added to those that the file has. */
int64_t dnotify_set(struct file *file, int32_t descriptor, uint32_t events)
{
    uint32_t meant = 0;
    if ((events & ~DN_MULTISHOT) == 0) {
        dnotify_forget(file);
        return 0;
    }
    if (!is_directory(file->inode)) {
        return -ENOTDIR;
    }
    struct watch *watch = allocate(sizeof(struct watch));
    if (!watch) {
        return -ENOMEM;
    }
    for (size_t at = 0; at < ARRAY_LENGTH(meanings); at++) {
        meant |= (events >> at & 1) ? meanings[at] : 0;
    }
    owner_default(file);
    mutex_lock(&lock);
    struct watch *old = *find(file);
    if (!old) {
        *watch = (struct watch){.next = watches, .file = file};
        __atomic_store_n(&watches, watch, __ATOMIC_RELEASE);
        old = watch;
        watch = NULL;
    }
    old->descriptor = descriptor;
    old->events |= meant;
    old->stays |= (events & DN_MULTISHOT) != 0;
    mutex_unlock(&lock);
    release(watch, sizeof(struct watch));
    return 0;
}

void dnotify_tell(const struct inode *watched, const struct happening *happening)
{
    if (!dnotify_is_used()) {
        return;
    }
    mutex_lock(&lock);
    for (struct watch **link = &watches; *link;) {
        struct watch *watch = *link;
        bool is_meant = watch->file->inode == watched && (watch->events & happening->event) != 0;
        if (is_meant) {
            owner_tell(watch->file, watch->descriptor, POLL_MSG);
        }
        if (is_meant && !watch->stays) {
            take_out(link);
        } else {
            link = &watch->next;
        }
    }
    mutex_unlock(&lock);
}
