/*
 * Paths are resolved here and nowhere else, inside the enclave. The namespace lock is held for all of these.
 */
#ifndef ENCLAVIZE_FS_PATH_H
#define ENCLAVIZE_FS_PATH_H

#include "fs/inode.h"

enum walk_flag {
    WALK_FOLLOW = 1,   /* follow a symbolic link at the end */
    WALK_MAY_MISS = 2, /* the last name need not exist: place.inode is NULL then */
    WALK_NAME = 8, /* the last name itself is wanted, whatever it is and even with a slash behind it: to make or remove it */
    WALK_CREATES = 16, /* of open(2): with a slash behind the last name it is -EISDIR, whatever is there */
    WALK_EMPTY = 4,    /* an empty path is the start itself (AT_EMPTY_PATH) */
    /* RESOLVE_* of openat2(2): */
    WALK_NO_MOUNTS = 0x100,     /* -EXDEV where the path leads from one mount into another */
    WALK_NO_MAGIC_LINKS = 0x200, /* -ELOOP at a link that leads straight to an inode */
    WALK_NO_LINKS = 0x400,      /* -ELOOP at any link that would be followed */
    WALK_BENEATH = 0x800,       /* -EXDEV where the path leads out of the start */
    WALK_IN_ROOT = 0x1000,      /* the start is the root: of absolute paths and links, and for `..` */
};

/* Where a path leads. Release it with place_release(). */
struct place {
    struct inode *parent; /* NULL with WALK_EMPTY and for jumps */
    struct inode *inode;
    struct open_name *opened; /* of a jump to something that is open under a name; counted */
    /* the last component is `.`, `..`, a jump, or there is none: it cannot be made or removed */
    bool is_dot;
    bool wants_directory; /* a slash at the end */
    size_t name_length;
    char name[NAME_LENGTH_MAX + 1];
};

/* Resolve `path` from `start` (NULL: the current directory). */
int64_t path_walk(struct inode *start, const char *path, uint32_t flags, struct place *place);
void place_release(struct place *place);

static inline struct name place_name(const struct place *place)
{
    return (struct name){.bytes = place->name, .length = place->name_length};
}

/* The path from the caller's root to a directory, or to `name` in it, and from the root of all where the caller's is not above it: written to the end of `buffer`; *start says where.
 * Length, or -ENAMETOOLONG, -ENOENT (removed). */
int64_t path_of(const struct inode *directory, struct name name, char *buffer, size_t size, size_t *start);
/* The same, though directories on the way may have been removed. */
int64_t path_of_removed(const struct inode *directory, struct name name, char *buffer, size_t size, size_t *start);

/* The root of all; a process may have one below it (chroot(2)). */
extern struct inode *root_directory;

/* What a thread brings to a path; struct fs_struct of Linux. */
struct whereabouts {
    uint32_t references;             /* atomic */
    struct inode *root;              /* counted; where `/` leads, and where `..` ends */
    struct inode *working_directory; /* counted */
    uint32_t mode_mask;              /* umask; atomic */
};
static inline struct whereabouts *current_whereabouts(void)
{
    return current_task()->files.whereabouts;
}
/* The namespace lock is held for these. */
void set_working_directory(struct inode *inode);
void set_root(struct inode *inode);
struct inode *root_of_caller(void); /* not counted */
bool is_below_root_of_caller(const struct inode *directory); /* it, or below it */

/* Lay a file system over a name. The directory need not have that name; then it is found, but not listed.
 * Takes a count of `root`. */
int64_t mount_add(struct inode *directory, struct name name, struct inode *root);

/* The mounts in order, for /proc/self/mounts; NULL behind the last one. */
struct inode *mount_at(size_t index);

#define MOUNTS_MAX 64U                       /* laid over names, beside the root's own */
#define MOUNT_NUMBER_MAX (MOUNTS_MAX + 1U)

/* The number of the mount that something lies in, as in /proc/self/mountinfo: of what is no directory, `parent` tells. */
uint64_t mount_number(const struct inode *inode, const struct inode *parent);
bool mount_at_root(const struct inode *inode); /* it is the root of a mount */

bool is_mount_point(const struct inode *directory, struct name name);

#endif
