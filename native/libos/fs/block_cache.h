/*
 * Verified 4 KiB blocks, kept inside the enclave: bounded, least recently used leaves first.
 *
 * A block gets in only after its hash was compared; so what comes out needs no check.
 */
#ifndef ENCLAVIZE_FS_BLOCK_CACHE_H
#define ENCLAVIZE_FS_BLOCK_CACHE_H

#include "base/base.h"

#define BLOCK_SIZE 4096U

/* What a block belongs to. `object` is an EROFS nid, or 0 for the metadata image itself (the superblock lies
 * at nids 32..35, no inode there). */
enum block_kind { BLOCK_DATA, BLOCK_HASHES };

struct block_key {
    uint64_t object;
    uint64_t index;
    enum block_kind kind;
};

/* Copy `length` bytes from `offset` of the block, if it is there. */
bool block_cache_copy(const struct block_key *key, size_t offset, size_t length, void *to);

/* Remember a verified block. Out of memory is no error: the block is verified again next time. */
void block_cache_insert(const struct block_key *key, const void *block);

#endif
