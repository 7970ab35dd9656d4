/* inotify(7): who watches what, and the events that wait. Kept by device and number, as directories of volumes come into
 * being anew for each path; of a volume only what happens inside the enclave is seen. */
#ifndef ENCLAVIZE_FS_INOTIFY_H
#define ENCLAVIZE_FS_INOTIFY_H

#include "fs/file.h"

/* Events and flags (Linux, include/uapi/linux/inotify.h). */
#define IN_ACCESS 0x001U
#define IN_MODIFY 0x002U
#define IN_ATTRIB 0x004U
#define IN_CLOSE_WRITE 0x008U
#define IN_CLOSE_NOWRITE 0x010U
#define IN_OPEN 0x020U
#define IN_MOVED_FROM 0x040U
#define IN_MOVED_TO 0x080U
#define IN_CREATE 0x100U
#define IN_DELETE 0x200U
#define IN_DELETE_SELF 0x400U
#define IN_MOVE_SELF 0x800U
#define IN_ALL_EVENTS 0xFFFU
#define IN_Q_OVERFLOW 0x4000U
#define IN_IGNORED 0x8000U
#define IN_ONLYDIR 0x01000000U
#define IN_DONT_FOLLOW 0x02000000U
#define IN_EXCL_UNLINK 0x04000000U
#define IN_MASK_CREATE 0x10000000U
#define IN_MASK_ADD 0x20000000U
#define IN_ISDIR 0x40000000U
#define IN_ONESHOT 0x80000000U

/* /proc/sys/fs/inotify */
#define INOTIFY_INSTANCES_MAX 128
#define INOTIFY_WATCHES_MAX 65536
#define INOTIFY_QUEUE_MAX 16384

/* What happened to something that is watched. */
struct happening {
    uint32_t event;  /* with IN_ISDIR */
    uint32_t cookie; /* of a rename */
    struct name name; /* in the watched directory; length 0: the watched thing itself */
    bool removed;     /* the name is gone: not for those with IN_EXCL_UNLINK */
};

/* -EMFILE, -ENOMEM. */
int64_t inotify_create(uint32_t flags, struct file **file);
bool is_inotify(const struct file *file);
/* The watch's number; -EEXIST, -ENOSPC, -ENOMEM. */
int64_t inotify_add(struct file *file, const struct inode *inode, uint32_t mask);
int64_t inotify_remove(struct file *file, int32_t number); /* -EINVAL */

/* These need no lock; any of the file system's may be held. */
bool inotify_is_used(void);
void inotify_tell(const struct inode *watched, const struct happening *happening);
/* Nothing more will happen to it: its watches end, too. */
void inotify_end(const struct inode *watched);

#endif
