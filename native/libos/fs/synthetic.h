/*
 * Read-only file systems whose files are made from tables: /proc and /sys. A row is a path and what is behind
 * it.
 */
#ifndef ENCLAVIZE_FS_SYNTHETIC_H
#define ENCLAVIZE_FS_SYNTHETIC_H

#include "fs/blob.h"

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

/* An open file whose text is made when it is read from its beginning, so that further reads see one state; no lock is held then. */
struct text_source {
    int64_t (*make)(struct inode *inode, struct text *text); /* 0 or a negative errno */
    int64_t (*write)(struct inode *inode, const char *bytes, size_t length); /* 0 or a negative errno; NULL: nobody may */
};
int64_t text_file_open(struct file *file, const struct text_source *source);

struct synthetic_row {
    const char *path;
    uint32_t mode;                      /* with type */
    void (*content)(struct text *text); /* regular files: no lock is held */
    /* the same for a fixed text; symbolic links: a fixed target */
    const char *fixed;
    /* regular files in place of both */
    const struct blob *blob;
    /* symbolic links: the target; the namespace lock is held */
    int64_t (*target)(char *to, size_t size);
    /* directories: names that are not in the table */
    int64_t (*lookup)(struct inode *directory, struct name name, struct inode **found);
    int64_t (*list)(uint64_t cookie, entry_sink *sink, void *context);
};

/* Rows come in an order in which a directory stands before what is in it; the first one, path "", is the
 * root. */
int64_t synthetic_create(const struct file_system *file_system, const struct synthetic_row *rows,
    size_t count, struct inode **root);

/* One inode outside any table's tree, for lookup(); counted for the caller. */
int64_t synthetic_create_inode(const struct file_system *file_system,
    const struct inode_operations *operations, uint32_t mode, size_t size, struct inode **inode);

#endif
