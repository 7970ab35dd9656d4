/*
 * Read-only file systems whose files are made from tables: /proc and /sys. A row is a path and what is behind
 * it.
 */
#ifndef ENCLAVIZE_FS_SYNTHETIC_H
#define ENCLAVIZE_FS_SYNTHETIC_H

#include "fs/file.h"

/* A text that grows. */
struct text {
    char *bytes;
    size_t size;
    size_t used;
    bool failed; /* out of memory */
};
void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_add_bytes(struct text *text, const void *bytes, size_t length);
/* Room for `length` bytes more, to be filled and then counted in by the caller. */
char *text_reserve(struct text *text, size_t length);

struct synthetic_row {
    const char *path;
    uint32_t mode;                      /* with type */
    void (*content)(struct text *text); /* regular files: no lock is held */
    /* the same in place of a text: any part of a file that is too large to be made at once */
    int64_t (*read_at)(void *to, size_t length, uint64_t offset);
    /* the same for a fixed text; symbolic links: a fixed target */
    const char *fixed;
    /* symbolic links: the target; the namespace lock is held */
    int64_t (*target)(char *to, size_t size);
    int64_t (*jump)(struct inode **target, struct open_name **name); /* magic links */
    /* directories: names that are not in the table */
    int64_t (*lookup)(struct name name, struct inode **found);
    int64_t (*list)(uint64_t cookie, entry_sink *sink, void *context);
    bool has_owner; /* belongs to the measured user, not to root */
};

/* Rows come in an order in which a directory stands before what is in it; the first one, path "", is the
 * root. */
int64_t synthetic_create(const struct file_system *file_system, const struct synthetic_row *rows,
    size_t count, struct inode **root);

/* One inode outside any table's tree, for lookup(); counted for the caller. */
int64_t synthetic_create_inode(const struct file_system *file_system,
    const struct inode_operations *operations, uint32_t mode, size_t size, struct inode **inode);

#endif
