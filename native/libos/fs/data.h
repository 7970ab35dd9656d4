/*
 * Data of regular files that lies on the host. The host is asked for "bytes of this path at this offset" and
 * nothing else; a byte is given out only after the block it lies in was copied into the enclave and verified.
 */
#ifndef ENCLAVIZE_FS_DATA_H
#define ENCLAVIZE_FS_DATA_H

#include "fs/verity.h"

struct host_data;

/* `path` is the data path, without leading slash. NULL: out of memory. */
struct host_data *data_create(const struct verity_file *verity, const char *path, size_t length);
void data_destroy(struct host_data *data);

/* Have the host open the file. 0; -EACCES: the host process may not read it; -EIO for anything else. */
int64_t data_open(struct host_data *data);

/* Bytes read: less than `length` only at the end of the file. -EIO, -EACCES, -ENOMEM. `to` is LibOS memory;
 * on failure its content is arbitrary. */
int64_t data_read(struct host_data *data, uint64_t offset, void *to, size_t length);

#endif
