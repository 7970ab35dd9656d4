/* What is below /proc/PID and /proc/PID/task/TID: inodes that come into being when a name leads to them. */
#ifndef ENCLAVIZE_FS_PROC_ENTRY_H
#define ENCLAVIZE_FS_PROC_ENTRY_H

#include "fs/synthetic.h"

struct proc_entry;

/* A name below the folder of a process, or of a thread. */
struct proc_row {
    const char *path; /* "": the folder itself; a folder stands before what is in it */
    uint32_t mode;    /* with type */
    /* Regular files: what is read; -ESRCH when the subject has ended. `system` and `fixed`: the same for all subjects. */
    int64_t (*content)(struct text *text, const struct proc_entry *entry);
    void (*system)(struct text *text);
    const char *fixed;
    /* in place of a text: any part of a file that is too large to be made at once */
    int64_t (*read_at)(const struct proc_entry *entry, void *to, size_t length, uint64_t offset);
    int64_t (*write)(const struct proc_entry *entry, const char *bytes, size_t length);
    /* Symbolic links, the namespace lock is held; `fixed`: a target that is the same for all. */
    int64_t (*target)(const struct proc_entry *entry, char *to, size_t size);
    int64_t (*jump)(const struct proc_entry *entry, struct inode **target, struct open_name **name);
    /* Folders: names that are not in the table. */
    int64_t (*lookup)(struct proc_entry *entry, struct name name, struct inode **found);
    int64_t (*list)(const struct proc_entry *entry, uint64_t cookie, entry_sink *sink, void *context);
    bool is_private; /* opening a file, reading a link, listing a folder: for those who may inspect the subject, else -EACCES */
};

struct proc_table {
    const struct proc_row *rows;
    size_t count;
};
extern const struct proc_table proc_process_table, proc_thread_table;

struct proc_entry {
    struct inode inode;
    struct subject subject;
    const struct proc_table *table; /* where the names in it are */
    const struct proc_row *row;
    int32_t descriptor; /* in fd and fdinfo; else -1 */
};

/* One below `parent`, with a count; `descriptor` as above. */
int64_t proc_entry_create(const struct subject *subject, const struct proc_table *table, const struct proc_row *row, int32_t descriptor,
    struct inode *parent, struct name name, struct inode **created);
/* The number that proc_entry_create() gives it. */
uint64_t proc_entry_number(const struct subject *subject, const struct proc_table *table, const struct proc_row *row, int32_t descriptor);
/* The folder of a process that is not one of its task folders; false: it is something else. */
bool proc_entry_subject(const struct inode *inode, struct subject *subject);

/* Cookies of a folder's list() begin here. */
#define PROC_COOKIE_BASE (1ULL << 32)

#endif
