#include "fs/verity.h"

#include "boundary/boundary.h"
#include "base/base.h"

#define HASH_SIZE 32U
#define HASHES_PER_BLOCK (BLOCK_SIZE / HASH_SIZE)
#define LEVELS_MAX 8U
#define DESCRIPTOR_SIZE 256U
#define BLOCKS_AT_ONCE 16U

/* Where the levels of a tree lie in rootfs.verity: the top one first. */
struct layout {
    uint32_t levels;
    uint64_t hashes[LEVELS_MAX];
    uint64_t offset[LEVELS_MAX]; /* from the start of the tree */
    uint64_t size;
};

static uint64_t limit;

void verity_set_limit(uint64_t size)
{
    limit = size;
}

static struct layout layout_of(uint64_t size)
{
    struct layout layout = {0};
    if (size <= BLOCK_SIZE) {
        return layout;
    }
    uint64_t count = (size - 1) / BLOCK_SIZE + 1;
    for (;;) {
        layout.hashes[layout.levels++] = count;
        if (count <= HASHES_PER_BLOCK || layout.levels == LEVELS_MAX) {
            break;
        }
        count = (count - 1) / HASHES_PER_BLOCK + 1;
    }
    for (uint32_t level = layout.levels; level-- > 0;) {
        layout.offset[level] = layout.size;
        layout.size += layout.hashes[level] * HASH_SIZE;
    }
    return layout;
}

uint64_t verity_tree_size(uint64_t size)
{
    return layout_of(size).size;
}

static void hash_padded(const uint8_t *data, size_t length, uint8_t hash[HASH_SIZE])
{
    if (length == BLOCK_SIZE) {
        sha256(data, BLOCK_SIZE, hash);
        return;
    }
    uint8_t block[BLOCK_SIZE];
    memcpy(block, data, length);
    memset(block + length, 0, BLOCK_SIZE - length);
    sha256(block, BLOCK_SIZE, hash);
}

/* struct fsverity_descriptor (Linux, include/uapi/linux/fsverity.h): version 1, SHA-256, 2^12 bytes a block.
 */
static bool root_is_measured(const struct verity_file *file, const uint8_t root_hash[HASH_SIZE])
{
    uint8_t descriptor[DESCRIPTOR_SIZE] = {1, 1, 12, 0};
    uint8_t digest[HASH_SIZE];
    memcpy(descriptor + 8, &file->size, sizeof(file->size));
    memcpy(descriptor + 16, root_hash, HASH_SIZE);
    sha256(descriptor, DESCRIPTOR_SIZE, digest);
    return memcmp(digest, file->digest, HASH_SIZE) == 0;
}

/* Number of the hash block in its tree: the cache's key. */
static struct block_key key_of(
    const struct verity_file *file, const struct layout *layout, uint32_t level, uint64_t block)
{
    uint64_t before = 0;
    for (uint32_t above = level + 1; above < layout->levels; above++) {
        before += (layout->hashes[above] - 1) / HASHES_PER_BLOCK + 1;
    }
    return (struct block_key){.object = file->object, .index = before + block, .kind = BLOCK_HASHES};
}

/* Reads the block that holds hash `first`, compares it with its hash one level up, or with the measured
 * digest at the top, and gives out `count` hashes. Not inlined: the recursion in get_hashes() must not carry
 * a block on the stack for each level. */
static __attribute__((noinline)) enum verity_verdict load_hashes(const struct verity_file *file,
    const struct layout *layout, uint32_t level, uint64_t first, size_t count,
    const uint8_t expected[HASH_SIZE], uint8_t *hashes)
{
    uint8_t bytes[BLOCK_SIZE] = {0};
    uint8_t hash[HASH_SIZE];
    uint64_t block = first / HASHES_PER_BLOCK;
    uint64_t start = block * BLOCK_SIZE;
    uint64_t size = layout->hashes[level] * HASH_SIZE - start;
    size_t length = size < BLOCK_SIZE ? (size_t)size : BLOCK_SIZE;
    uint64_t offset = file->tree_offset + layout->offset[level] + start;
    if (host_image_read(IMAGE_VERITY, offset, bytes, length) != (int64_t)length) {
        return VERITY_TREE_UNREADABLE;
    }
    sha256(bytes, BLOCK_SIZE, hash);
    bool top = level + 1 == layout->levels;
    if (top ? !root_is_measured(file, hash) : memcmp(hash, expected, HASH_SIZE) != 0) {
        return VERITY_TREE_DIFFERS;
    }
    struct block_key key = key_of(file, layout, level, block);
    block_cache_insert(&key, bytes);
    memcpy(hashes, bytes + (first % HASHES_PER_BLOCK) * HASH_SIZE, count * HASH_SIZE);
    return VERITY_GOOD;
}

/* `count` hashes of one level, all from one block of hashes. */
static enum verity_verdict get_hashes(const struct verity_file *file, const struct layout *layout,
    uint32_t level, uint64_t first, size_t count, uint8_t *hashes)
{
    uint64_t block = first / HASHES_PER_BLOCK;
    struct block_key key = key_of(file, layout, level, block);
    if (block_cache_copy(&key, (first % HASHES_PER_BLOCK) * HASH_SIZE, count * HASH_SIZE, hashes)) {
        return VERITY_GOOD;
    }
    uint8_t expected[HASH_SIZE] = {0};
    if (level + 1 < layout->levels) {
        enum verity_verdict verdict = get_hashes(file, layout, level + 1, block, 1, expected);
        if (verdict != VERITY_GOOD) {
            return verdict;
        }
    }
    return load_hashes(file, layout, level, first, count, expected, hashes);
}

/* Whether `count` blocks have these hashes; of the last one there may be less than a block in `length`. */
static bool blocks_are(const uint8_t *data, size_t length, const uint8_t *hashes, size_t count)
{
    uint8_t found[BLOCKS_AT_ONCE * HASH_SIZE];
    size_t whole = length / BLOCK_SIZE < count ? length / BLOCK_SIZE : count;
    for (size_t done = 0; done < whole;) {
        size_t some = whole - done < BLOCKS_AT_ONCE ? whole - done : BLOCKS_AT_ONCE;
        sha256_each(data + done * BLOCK_SIZE, BLOCK_SIZE, some, found);
        if (memcmp(found, hashes + done * HASH_SIZE, some * HASH_SIZE) != 0) {
            return false;
        }
        done += some;
    }
    if (whole < count) {
        hash_padded(data + whole * BLOCK_SIZE, length - whole * BLOCK_SIZE, found);
        return memcmp(found, hashes + whole * HASH_SIZE, HASH_SIZE) == 0;
    }
    return true;
}

enum verity_verdict verity_check(
    const struct verity_file *file, uint64_t first, const uint8_t *data, size_t length)
{
    struct layout layout = layout_of(file->size);
    uint8_t hashes[HASHES_PER_BLOCK * HASH_SIZE];
    uint8_t hash[HASH_SIZE];
    if (file->size == 0) {
        static const uint8_t nothing[HASH_SIZE];
        return root_is_measured(file, nothing) ? VERITY_GOOD : VERITY_DATA_DIFFERS;
    }
    if (layout.levels == 0) {
        hash_padded(data, length, hash);
        return root_is_measured(file, hash) ? VERITY_GOOD : VERITY_DATA_DIFFERS;
    }
    if (layout.size > limit || file->tree_offset > limit - layout.size) {
        return VERITY_TREE_DIFFERS;
    }
    size_t blocks = (length + BLOCK_SIZE - 1) / BLOCK_SIZE;
    for (size_t done = 0; done < blocks;) {
        size_t count = HASHES_PER_BLOCK - (size_t)((first + done) % HASHES_PER_BLOCK);
        count = count < blocks - done ? count : blocks - done;
        enum verity_verdict verdict = get_hashes(file, &layout, 0, first + done, count, hashes);
        if (verdict != VERITY_GOOD) {
            return verdict;
        }
        if (!blocks_are(data + done * BLOCK_SIZE, length - done * BLOCK_SIZE, hashes, count)) {
            return VERITY_DATA_DIFFERS;
        }
        done += count;
    }
    return VERITY_GOOD;
}

const char *verity_text(enum verity_verdict verdict)
{
    switch (verdict) {
    case VERITY_GOOD:
        return "good";
    case VERITY_DATA_DIFFERS:
        return "the data differs from what was measured";
    case VERITY_TREE_DIFFERS:
        return "its Merkle tree in rootfs.verity differs from what was measured";
    case VERITY_TREE_UNREADABLE:
        return "its Merkle tree in rootfs.verity cannot be read";
    }
    return "unknown";
}
