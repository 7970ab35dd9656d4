/*
 * The file system, as the core sees it: executables, mappings, descriptors, start and end.
 *
 * Nothing here touches application memory or waits while it holds a file system lock, so every function may
 * be called from the page fault path. Buffers are LibOS memory, or application memory that the caller has
 * committed.
 */
#ifndef ENCLAVIZE_FS_VFS_H
#define ENCLAVIZE_FS_VFS_H

#include "base/base.h"

struct configuration;

/* An open file description, counted. Opaque outside fs/. */
struct file;

/* What identifies and describes a file, for mappings and for execve. */
struct file_facts {
    uint64_t device; /* with inode: the identity of the file */
    uint64_t inode;
    uint64_t size;
    uint32_t mode; /* type and permissions, as in stat */
    uint32_t uid;
    uint32_t gid;
    bool zeros;        /* /dev/zero: map anonymous memory instead */
    bool forbids_exec; /* mmap and mprotect must refuse PROT_EXEC: a volume without the flag `exec` */
};

/* Call once, on the first thread, when memory and locks work. 0, or a negative errno when the measured
 * configuration does not name a usable root file system. Of the image, the root directory's block is read. */
int64_t fs_start(const struct configuration *configuration);

/* Flush what must reach the host (volumes). Call once, before OCALL_EXIT. */
void fs_stop(void);

/* Open a program to run it: `path` is resolved like execve does, from the current directory, symbolic links
 * followed, inside the enclave. 0 and *file, or -ENOENT, -EACCES (no execute permission, not a regular file,
 * volume without `exec`), -ELOOP, -ENOTDIR, -EIO, ... */
int64_t file_open_executable(const char *path, struct file **file);

/* The file behind a descriptor with one more count, or NULL (EBADF). */
struct file *file_of_descriptor(int descriptor);
void file_get(struct file *file);
void file_put(struct file *file);

void file_describe(struct file *file, struct file_facts *facts);

/* Read at `offset`. Bytes read: less than `length` only at the end of the file; or a negative errno (-EIO:
 * verification failed). */
int64_t file_read_at(struct file *file, void *buffer, size_t length, uint64_t offset);

/* Write back a shared mapping. */
int64_t file_write_at(struct file *file, const void *buffer, size_t length, uint64_t offset);

/* May this file be mapped so? `protection` and `flags` as in mmap. 0, -EACCES, -ENODEV or -EPERM
 * (forbids_exec). */
int64_t file_check_mapping(struct file *file, int protection, int flags);

/* The absolute path, NUL-terminated, for /proc/self/maps, AT_EXECFN and messages. Length without NUL, or
 * -ENAMETOOLONG. */
int64_t file_path(struct file *file, char *buffer, size_t size);

/* The program that runs, for /proc/self/exe; takes its own count. */
void fs_set_executable(struct file *file);

/* Change the current directory to the measured one before the program starts. */
int64_t fs_change_directory(const char *path);

#endif
