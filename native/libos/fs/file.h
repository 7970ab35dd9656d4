/*
 * Open files and descriptors.
 */
#ifndef ENCLAVIZE_FS_FILE_H
#define ENCLAVIZE_FS_FILE_H

#include "fs/inode.h"
#include "memory/memory.h"

/* open flags (Linux, include/uapi/asm-generic/fcntl.h, x86-64). */
#define O_RDONLY 0U
#define O_WRONLY 01U
#define O_RDWR 02U
#define O_ACCMODE 03U
#define O_CREAT 0100U
#define O_EXCL 0200U
#define O_NOCTTY 0400U
#define O_TRUNC 01000U
#define O_APPEND 02000U
#define O_NONBLOCK 04000U
#define O_ASYNC 020000U
#define O_DIRECT 040000U
#define O_LARGEFILE 0100000U
#define O_DIRECTORY 0200000U
#define O_NOFOLLOW 0400000U
#define O_NOATIME 01000000U
#define O_CLOEXEC 02000000U
#define O_PATH 010000000U
#define O_TMPFILE 020200000U
#define O_DSYNC 010000U
#define O_SYNC 04010000U /* with O_DSYNC */

/* fallocate(2). */
#define FALLOC_FL_KEEP_SIZE 1U
#define FALLOC_FL_PUNCH_HOLE 2U
#define FALLOC_FL_ZERO_RANGE 16U

#define AT_FDCWD (-100)

struct poller;
struct text;

/* A NULL entry means: this kind of file cannot do it. Buffers are LibOS memory. read and write move *offset
 * on. */
struct file_operations {
    int64_t (*read)(struct file *file, void *to, size_t length, uint64_t *offset);
    int64_t (*write)(struct file *file, const void *from, size_t length, uint64_t *offset);
    /* readv and writev as a whole, where pieces make a difference: messages; NULL: piece by piece */
    int64_t (*vector)(struct file *file, const struct iovec *vector, size_t count, bool writes);
    /* events that hold now; NULL: always readable and writable */
    uint32_t (*poll)(struct file *file, struct poller *poller);
    /* the host's descriptor whose readiness is all of this file's, and that is closed with it; NULL, or negative: there is none */
    int (*host_descriptor)(const struct file *file);
    /* of such a file: has the host seen, as lately as anything the program can know of, that there is nothing to read? NULL: nobody knows */
    bool (*is_read_up)(struct file *file);
    /* of such a file: is there something to read that the host has handed over already? NULL: never */
    bool (*has_ahead)(struct file *file);
    int64_t (*ioctl)(struct file *file, uint32_t request, user_address argument);
    int64_t (*allocate)(struct file *file, uint32_t mode, uint64_t offset, uint64_t length);
    int64_t (*sync)(struct file *file);
    /* Where the next data, or the next hole, begins, from an offset below the size; -ENXIO. NULL: all is data */
    int64_t (*seek)(struct file *file, uint64_t offset, bool hole);
    int64_t (*opened)(struct file *file); /* after open(), without any lock: may wait */
    void (*flush)(struct file *file); /* a descriptor of it is closed */
    /* what shared mappings show, with one more count; NULL: cannot be mapped so */
    int64_t (*object_of)(struct file *file, struct shared_object **object);
    /* of a regular file: held for each call that writes; NULL: that of the inode */
    struct mutex *(*writing)(const struct file *file);
    void (*tell)(struct file *file, struct text *text); /* further lines of /proc/self/fdinfo; NULL: none */
    void (*release)(struct file *file);
    /* O_ASYNC: what the owner hears of. Linux takes the flag without effect where there is nothing. */
    enum { OWNER_HEARS_NOTHING, OWNER_HEARS_OF_DATA, OWNER_HEARS_ALL } tells_owner;
    bool stream;    /* no offsets: lseek and pread give ESPIPE */
    uint32_t least_read; /* bytes: for fewer there is nothing to wait for, and read() is EINVAL at once */
    bool reads_by_piece; /* readv() is a read for each piece, each with room of its own (do_loop_readv_writev() of Linux) */
    bool stands;    /* lseek goes nowhere, whatever it is asked: 0 (noop_llseek() and null_lseek() of Linux) */
    bool generated; /* made when it is read: cannot be mapped */
};

struct file {
    const struct file_operations *operations;
    struct inode *inode;
    uint32_t references;
    uint32_t flags; /* access mode and status flags */
    struct item *items; /* of epolls that watch it; their lock's */
    struct mutex position_lock;
    uint64_t position;
    void *state; /* of the kind of file */
    struct open_name *name; /* NULL: none, or a directory, which knows its place by itself */
    struct {
        uint32_t type; /* F_OWNER_* */
        int32_t id;    /* atomic; 0: nobody */
        int32_t signal;
        uint32_t user, effective_user; /* who said so */
    } owner; /* who is told of events (fs/owner.h) */
    bool is_made_open;      /* by memfd_create(2), not by open(2) */
    bool announced;         /* inotify heard of it being opened, and has to hear of it being closed */
};
/* Whom F_SETOWN and F_GETOWN speak of: a process, or as a negative number a group. -EINVAL, -ESRCH. */
int64_t file_set_owner(struct file *file, int32_t who);
int32_t file_owner(const struct file *file);

/* OPEN_FMODE() of Linux: with O_ACCMODE both are asked for, and neither is given. */
static inline bool is_readable(const struct file *file)
{
    return (file->flags & O_PATH) == 0 && ((file->flags & O_ACCMODE) + 1) & 1;
}
static inline bool is_writable(const struct file *file)
{
    return (file->flags & O_PATH) == 0 && ((file->flags & O_ACCMODE) + 1) & 2;
}

/* Its content lies in pages: what Linux reads and writes by its page cache. */
static inline bool has_pages(const struct file *file)
{
    return is_regular(file->inode) && !file->operations->stream && !file->operations->generated;
}

/* FMODE_CAN_ODIRECT of Linux, which memfd_create(2) does not set: its files were not opened. */
static inline bool takes_direct(const struct file *file)
{
    return has_pages(file) && !file->is_made_open;
}

/* An open file of `inode`, which calls the inode's open operation unless O_PATH is set. The namespace lock is
 * held. */
int64_t file_create(struct inode *inode, uint32_t flags, struct file **file);

/* The inode of files that have no name, zeroed before; its operations are the caller's. 0 or -ENOMEM. */
int64_t inode_begin_anonymous(struct inode *inode, const char *kind, uint32_t mode);
void inode_end_anonymous(struct inode *inode);
/* Pipes and sockets have owners and permissions, nothing else without a name does. */
int64_t inode_change_anonymous(struct inode *inode, const struct attributes *attributes);
/* A file that has no name, and an inode of its own: events, epoll. Takes no lock. */
int64_t file_create_anonymous(const struct file_operations *operations, const char *kind, uint32_t mode,
    uint32_t flags, void *state, struct file **file);

void file_get(struct file *file);
void file_put(struct file *file); /* NULL is fine */
/* With one more count, or NULL (EBADF). */
struct file *file_of_descriptor(int descriptor);
/* The same, but NULL also for O_PATH: most calls want more than an inode. */
struct file *opened_file_of_descriptor(int descriptor);

/* For file_upcalls and process_upcalls, which say what they do. */
void file_describe(struct file *file, struct file_facts *facts);
int64_t file_check_mapping(struct file *file, int protection, int flags);
/* What F_GETFL tells. */
uint32_t file_status_flags(const struct file *file);
/* file_upcalls.punch_hole */
int64_t file_punch_hole(struct file *file, uint64_t offset, uint64_t length);
int64_t file_object_of(struct file *file, struct shared_object **object);
int64_t file_path(struct file *file, char *buffer, size_t size);
/* The same for those who hold the namespace lock. */
int64_t file_path_locked(struct file *file, char *buffer, size_t size);

/* Descriptors. */
/* The lowest free descriptor from `lowest` on; takes the caller's count over. -EMFILE, -ENOMEM: the count is
 * still the caller's. */
int64_t descriptor_add(struct file *file, int64_t lowest, bool close_on_exec);
/* No descriptor of the calling process is as high. */
uint64_t descriptor_capacity(void);
/* A descriptor whose file is still to come: for who takes or makes what must not be lost for want of a descriptor. Until it is filled
 * it is none (EBADF), and none that can be had (EBUSY for dup2(2)), as on Linux. */
struct descriptor_slot {
    struct descriptor_table *table; /* counted */
    int64_t number;
};
/* 0, -EMFILE, -ENOMEM. */
int64_t descriptor_reserve(struct descriptor_slot *slot, bool close_on_exec);
/* What has become of it: a negative errno, which is returned, or the file, whose count is taken over; returns its descriptor. */
int64_t descriptor_fill(struct descriptor_slot *slot, int64_t result, struct file *file);
/* At exactly this number; what was there is closed. -EBADF, -EBUSY, -ENOMEM. */
int64_t descriptor_set(int64_t descriptor, struct file *file, bool close_on_exec);
int64_t descriptor_close(int64_t descriptor);
/* -EBADF, or whether FD_CLOEXEC is set. */
int64_t descriptor_flags(int64_t descriptor);
int64_t descriptor_set_flags(int64_t descriptor, bool close_on_exec);
/* The first descriptor in use from `from` on, or -1. */
int64_t descriptor_next(int64_t from);

#endif
