/*
 * Small files of bytes that are there as a whole: made when they are opened, and replaced by each write, as the files of Gramine's /dev/attestation are
 * (libos/include/libos_fs_pseudo.h, "load" and "save").
 */
#ifndef ENCLAVIZE_FS_BLOB_H
#define ENCLAVIZE_FS_BLOB_H

#include "fs/file.h"

#define BLOB_SIZE_MAX 512U

struct blob {
    /* The length, at most BLOB_SIZE_MAX, or a negative errno, which open(2) returns. NULL: empty. The namespace lock is held. */
    int64_t (*load)(uint8_t to[BLOB_SIZE_MAX]);
    /* 0 or a negative errno. NULL: nobody may write, whoever he is. No lock is held. */
    int64_t (*save)(const uint8_t *from, size_t length);
};
int64_t blob_open(struct file *file, const struct blob *blob);

#endif
