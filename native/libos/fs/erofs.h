/*
 * Reader of the metadata image rootfs.erofs: the subset of EROFS in docs/rootfs.md, section 1.
 *
 * Every block is verified before it is used. What it says is measured, and yet every number is checked: an
 * image that was written wrongly gives -EIO, never memory that is not its own.
 */
#ifndef ENCLAVIZE_FS_EROFS_H
#define ENCLAVIZE_FS_EROFS_H

#include "fs/verity.h"

#define NAME_LENGTH_MAX 255U
#define PATH_LENGTH_MAX 4096U

enum erofs_layout { EROFS_FLAT_PLAIN = 0, EROFS_FLAT_INLINE = 2, EROFS_CHUNK_BASED = 4 };

struct erofs_inode {
    uint64_t nid;
    enum erofs_layout layout;
    uint32_t xattr_size; /* bytes of the xattr area */
    uint32_t mode;
    uint32_t number; /* i_ino */
    uint32_t uid;
    uint32_t gid;
    uint32_t links;
    uint32_t union_field; /* i_u: first data block, or rdev */
    uint64_t size;
    int64_t mtime;
};

struct erofs_entry {
    uint64_t nid;
    uint32_t type; /* EROFS file type */
    uint32_t name_length;
    char name[NAME_LENGTH_MAX + 1];
};

/* The measured size and digest. Reads nothing yet. -EINVAL: the size is no number of blocks. */
int64_t erofs_start(uint64_t size, const uint8_t digest[VERITY_DIGEST_SIZE]);

/* The root directory, from the superblock. */
int64_t erofs_root(uint64_t *nid);

int64_t erofs_inode(uint64_t nid, struct erofs_inode *inode);

/* -ENOENT when the directory has no such name. */
int64_t erofs_lookup(const struct erofs_inode *directory, const char *name, size_t length, uint64_t *nid);

/* The entry at *position (0 at first), which moves to the next one. 1, or 0 at the end. */
int64_t erofs_next(const struct erofs_inode *directory, uint64_t *position, struct erofs_entry *entry);

/* Content that lies in the image: directories, symbolic links, small regular files. Bytes read; short only at
 * the end. */
int64_t erofs_read(const struct erofs_inode *inode, uint64_t offset, void *to, size_t length);

/* Names of xattr prefixes: `e_name_index`. */
enum erofs_prefix {
    EROFS_PREFIX_USER = 1,
    EROFS_PREFIX_ACL_ACCESS = 2,
    EROFS_PREFIX_ACL_DEFAULT = 3,
    EROFS_PREFIX_TRUSTED = 4,
    EROFS_PREFIX_SECURITY = 6,
};

struct erofs_xattr {
    uint32_t prefix;
    uint32_t name_length;
    uint32_t value_size;
    uint64_t value_offset;          /* in the image */
    char name[NAME_LENGTH_MAX + 1]; /* after the prefix */
};

/* The xattr at *position (0 at first), which moves to the next one. 1, or 0 at the end. */
int64_t erofs_next_xattr(const struct erofs_inode *inode, uint64_t *position, struct erofs_xattr *xattr);

/* -ENODATA when there is none. */
int64_t erofs_find_xattr(const struct erofs_inode *inode, uint32_t prefix, const char *name, size_t length,
    struct erofs_xattr *xattr);

int64_t erofs_xattr_value(const struct erofs_xattr *xattr, void *to, size_t size);

/* Where the data of a regular file on the host is, and how to check it. `path` (PATH_LENGTH_MAX bytes) is the
 * redirect without its slash, or empty: then the data path is the file's only path. */
int64_t erofs_host_data(const struct erofs_inode *inode, struct verity_file *file, char *path);

#endif
