/*
 * Inodes: what a name leads to. Four kinds of file system provide them: the tree (measured image and memory),
 * synthetic files, devices and streams that have no name, and volumes.
 *
 * One lock, the namespace lock, guards names, the parents of directories, and attributes. Functions below
 * want it held unless they say otherwise. It may be held during OCALLs but never while application memory is
 * touched.
 */
#ifndef ENCLAVIZE_FS_INODE_H
#define ENCLAVIZE_FS_INODE_H

#include "process/process.h"
#include "wait/wait.h"
#include "fs/erofs.h"

/* File types and permissions (Linux, include/uapi/linux/stat.h). */
#define S_IFMT 0170000U
#define S_IFSOCK 0140000U
#define S_IFLNK 0120000U
#define S_IFREG 0100000U
#define S_IFBLK 0060000U
#define S_IFDIR 0040000U
#define S_IFCHR 0020000U
#define S_IFIFO 0010000U
#define S_ISUID 04000U
#define S_ISGID 02000U
#define S_ISVTX 01000U
#define PERMISSION_BITS 07777U

struct inode;
struct file;
struct open_name;
struct xattr;
struct access_list;

struct name {
    const char *bytes;
    size_t length;
};

struct file_system {
    const char *type; /* as in /proc/filesystems */
    uint32_t magic;   /* statfs f_type */
    uint32_t device;  /* st_dev */
    bool read_only;
    bool forbids_exec;
    bool has_no_blocks; /* statfs: nothing is stored there */
    int64_t (*sync)(struct inode *root); /* syncfs(2); NULL: nothing outlives the enclave */
};

/* Takes one directory entry; false: no room, stop. `cookie` leads to the entry after it. */
typedef bool entry_sink(void *context, struct name name, uint64_t number, uint32_t mode, uint64_t cookie);

/* Which attributes to change. */
enum attribute {
    ATTRIBUTE_MODE = 1,
    ATTRIBUTE_UID = 2,
    ATTRIBUTE_GID = 4,
    ATTRIBUTE_ATIME = 8,
    ATTRIBUTE_MTIME = 16
};

struct attributes {
    uint32_t which;
    uint32_t mode;
    uint32_t uid;
    uint32_t gid;
    struct timespec atime;
    struct timespec mtime;
};

/* What to create. */
struct creation {
    uint32_t mode;      /* with type */
    uint32_t mode_mask; /* the umask, which takes from it, unless the directory has a default access list */
    uint64_t rdev;
    const char *target; /* symbolic links */
};

/* acl(5). */
enum access_list_kind { ACCESS_LIST, DEFAULT_LIST };

/* A NULL entry means: this kind of file cannot do it. Permissions, types and names are checked before. */
struct inode_operations {
    int64_t (*lookup)(struct inode *directory, struct name name, struct inode **found);
    /* no `.` and `..`; cookies from 0 */
    int64_t (*list)(struct inode *directory, uint64_t cookie, entry_sink *sink, void *context);
    int64_t (*create)(
        struct inode *directory, struct name name, const struct creation *creation, struct inode **created);
    /* without a name, links 0 */
    int64_t (*create_unnamed)(struct inode *directory, const struct creation *creation, struct inode **created);
    int64_t (*link)(struct inode *directory, struct name name, struct inode *inode);
    /* directories too: -ENOTEMPTY */
    int64_t (*unlink)(struct inode *directory, struct name name, struct inode *inode);
    int64_t (*rename)(struct inode *from, struct name from_name, struct inode *inode, struct inode *to,
        struct name to_name);
    bool rename_replaces; /* it takes away what had the new name, at once with giving it */
    int64_t (*exchange)(struct inode *one, struct name one_name, struct inode *one_inode, struct inode *other,
        struct name other_name, struct inode *other_inode);
    int64_t (*read_link)(struct inode *link, char *to, size_t size); /* length; not NUL-terminated */
    /* magic links of /proc: straight to an inode, and the name under which it is open, or NULL; both counted */
    int64_t (*jump)(struct inode *link, struct inode **target, struct open_name **name);
    int64_t (*open)(struct inode *inode, struct file *file); /* sets file->operations */
    int64_t (*refresh)(struct inode *inode);                 /* bring attributes up to date */
    int64_t (*change)(struct inode *inode, const struct attributes *attributes);
    int64_t (*truncate)(struct inode *inode, uint64_t size);
    /* The size now, of an inode that is open; needs no lock. NULL: what `size` says. */
    uint64_t (*size_now)(struct inode *inode);
    uint64_t (*block_count)(struct inode *inode); /* of 512 bytes; NULL: as many as the size needs */
    /* 1 and the one at *position, or 0: that was all */
    int64_t (*next_xattr)(struct inode *inode, uint64_t *position, struct xattr *xattr);
    int64_t (*read_xattr)(struct inode *inode, const struct xattr *xattr, void *to);
    /* value NULL: remove it */
    int64_t (*set_xattr)(struct inode *inode, const char *name, const void *value, size_t size, uint32_t flags);
    /* *list is NULL where there is none: the mode says all. -EIO: in the image are other bytes in its place */
    int64_t (*access_list)(const struct inode *inode, enum access_list_kind kind, const struct access_list **list);
    int64_t (*set_access_list)(struct inode *inode, enum access_list_kind kind, struct access_list *list); /* takes it */
    bool keeps_flags; /* FS_IOC_SETFLAGS */
    void (*unused)(struct inode *inode); /* the last count is gone; any lock state */
};

struct inode {
    const struct inode_operations *operations;
    const struct file_system *file_system;
    uint32_t references;
    uint32_t pins; /* of directories: open files of it, and of names in it */
    uint32_t mode;
    uint32_t uid;
    uint32_t gid;
    uint32_t links;
    uint32_t open_to_read, open_to_write; /* open files of it that only read, and that write; for regular files; atomic */
    bool covered; /* something is mounted on one of its names */
    uint32_t seals; /* of files in memory: F_SEAL_* (fs/seal.h) */
    uint8_t kept_flags; /* FS_KEPT_FLAGS */
    uint8_t write_hint; /* RWH_WRITE_LIFE_*: kept for who asks */
    uint64_t number;
    uint64_t size;
    uint64_t rdev;
    bool can_be_linked; /* it has no name yet, and may get one (O_TMPFILE without O_EXCL) */
    struct mutex writing; /* of regular files: held for each call that writes */
    struct timespec atime, mtime, ctime;
    struct timespec btime; /* 0: not known */
    /* Directories: where they are, or were before they were removed (links 0). NULL for the root. */
    struct inode *parent;
    char *name;
    size_t name_length;
};

/* Flags of files (ioctl_iflags(2)) that nothing here goes by, kept for who asks and for what is made in a directory, as tmpfs has them. */
enum file_flag { FS_IMMUTABLE_FL = 0x10, FS_APPEND_FL = 0x20, FS_NODUMP_FL = 0x40, FS_NOATIME_FL = 0x80 };
#define FS_KEPT_FLAGS (FS_NODUMP_FL | FS_NOATIME_FL)
#define FS_NEVER_CHANGED (FS_IMMUTABLE_FL | FS_APPEND_FL)

/* Of 512 bytes, as st_blocks has them. */
uint64_t inode_blocks(struct inode *inode);

void namespace_lock(void);
void namespace_unlock(void);

struct inode *inode_get(struct inode *inode); /* needs no lock */
void inode_put(struct inode *inode);          /* needs no lock; NULL is fine */

/* While a directory is pinned it does not end, though it has no name any more. These need no lock. */
void inode_pin(struct inode *inode);
void inode_unpin(struct inode *inode); /* NULL is fine */

/* Sets where a directory is. -ENOMEM. NULL parent: nowhere. */
int64_t inode_place(struct inode *directory, struct inode *parent, struct name name);

static inline bool is_directory(const struct inode *inode)
{
    return (inode->mode & S_IFMT) == S_IFDIR;
}
static inline bool is_regular(const struct inode *inode)
{
    return (inode->mode & S_IFMT) == S_IFREG;
}
static inline bool is_link(const struct inode *inode)
{
    return (inode->mode & S_IFMT) == S_IFLNK;
}

/* Of an inode that is open; needs no lock. */
static inline uint64_t size_now_of(struct inode *inode)
{
    return inode->operations->size_now ? inode->operations->size_now(inode)
                                       : __atomic_load_n(&inode->size, __ATOMIC_ACQUIRE);
}

static inline bool name_equals(struct name one, struct name other)
{
    return one.length == other.length && memcmp(one.bytes, other.bytes, one.length) == 0;
}

/* Sets what the attributes say, and the time of the change: for inodes in memory. */
void inode_take_attributes(struct inode *inode, const struct attributes *attributes);

struct timespec time_now(void);
uint64_t new_inode_number(void);

/* Permission to read, write, execute or search for the measured user: 0 or -EACCES, -EROFS, -EIO. */
enum access { MAY_EXECUTE = 1, MAY_WRITE = 2, MAY_READ = 4 };
int64_t inode_access(const struct inode *inode, uint32_t wanted);
bool is_owner(const struct inode *inode);

#endif
