/*
 * Inodes of volumes, and the names by which the host knows them. The host is asked by path, so each inode that is in
 * use follows what is renamed and removed inside: it never comes to mean another file. The namespace lock is held.
 */
#ifndef ENCLAVIZE_FS_VOLUME_NAMES_H
#define ENCLAVIZE_FS_VOLUME_NAMES_H

#include "fs/volume_file.h"

struct volume_inode {
    struct inode inode;
    struct volume_inode *next, *previous; /* all that are in use */
    struct host_descriptor *descriptor;   /* of the first open file; NULL: there was none */
    struct pipe *pipe;                    /* of a FIFO, once it was opened */
    bool is_replaced;                     /* the host has given its number to another file */
    uint64_t blocks;                      /* of 512 bytes */
    size_t length;                        /* 0: it has no name any more */
    char *path;                           /* as the host is asked; not NUL-terminated */
};

static inline struct volume_inode *volume_of(struct inode *inode)
{
    return CONTAINER_OF(inode, struct volume_inode, inode);
}

/* -ENOMEM. */
int64_t volume_names_add(struct volume_inode *volume, const char *path, size_t length);
void volume_names_remove(struct volume_inode *volume); /* needs no lock */

/* It was found under this name. -ENOMEM: it keeps the one it had. */
int64_t volume_names_set(struct volume_inode *volume, const char *path, size_t length);

/* FIFOs and sockets are names alone: what they join is inside, and is found by the one inode that is in use for each. */
static inline bool is_meeting_place(uint32_t mode)
{
    uint32_t type = mode & S_IFMT;
    return type == S_IFIFO || type == S_IFSOCK;
}

/* That inode, of the host's type and number, with one more count; NULL: none is in use. What `is_new` was made just now:
 * to the host its number was free, even if a removed one is still open inside. */
struct volume_inode *volume_names_meet(const struct file_system *file_system, const struct host_stat *stat, bool is_new);

/* Who had this name has none any more. */
void volume_names_forget(const struct file_system *file_system, const char *path, size_t length);
/* Who had this name, or one below it, has the other. For want of memory it has none. */
void volume_names_move(const struct file_system *file_system, const char *from, size_t from_length, struct inode *to,
    struct name to_name, const char *to_path, size_t to_length);

#endif
