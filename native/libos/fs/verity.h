/*
 * fs-verity, SHA-256, 4 KiB blocks, no salt: checks single blocks of a file against the file's trusted
 * digest. Layout of the trees in rootfs.verity: docs/rootfs.md, sections 2 and 3.
 */
#ifndef ENCLAVIZE_FS_VERITY_H
#define ENCLAVIZE_FS_VERITY_H

#include "fs/block_cache.h"

#define VERITY_DIGEST_SIZE 32U

/* A file with a trusted digest and size. */
struct verity_file {
    uint64_t object;      /* EROFS nid, 0 for the metadata image: the key of its blocks in the cache */
    uint64_t size;        /* bytes */
    uint64_t tree_offset; /* of its Merkle tree in rootfs.verity; without meaning when size <= 4096 */
    uint8_t digest[VERITY_DIGEST_SIZE];
};

enum verity_verdict {
    VERITY_GOOD,
    VERITY_DATA_DIFFERS,    /* the data is not what was measured */
    VERITY_TREE_DIFFERS,    /* the Merkle tree in rootfs.verity is not what was measured */
    VERITY_TREE_UNREADABLE, /* the host gave no Merkle block */
};

/* Bytes that rootfs.verity holds for a file of `size` bytes; 0 when size <= 4096. */
uint64_t verity_tree_size(uint64_t size);

/* Size of rootfs.verity from the measured configuration: no tree may reach beyond it. */
void verity_set_limit(uint64_t size);

/* Check `length` bytes of data that start at block `first`: whole blocks, but for the last block of the file,
 * which may be short. */
enum verity_verdict verity_check(
    const struct verity_file *file, uint64_t first, const uint8_t *data, size_t length);

/* Words for an error line. */
const char *verity_text(enum verity_verdict verdict);

#endif
