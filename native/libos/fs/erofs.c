#include "fs/erofs.h"

#include "boundary/boundary.h"
#include "fs/inode.h"

#define SUPERBLOCK_OFFSET 1024U
#define SUPERBLOCK_MAGIC 0xE0F5E1E2U
#define FEATURE_INCOMPAT_CHUNKED_FILE 4U
#define NID_SIZE 32U
#define INODE_SIZE 64U
#define DIRENT_SIZE 12U
#define XATTR_HEADER_SIZE 12U
#define XATTR_ENTRY_SIZE 4U
#define CHUNKED_SIZE_MAX (1ULL << 43)
#define INDEX_BITS 16U

static struct verity_file image;
static bool reported;

/* One line for the whole image: whoever changes one block of it gets no flood of lines. */
static int64_t refuse(uint64_t block, const char *why)
{
    if (!__atomic_exchange_n(&reported, true, __ATOMIC_RELAXED)) {
        log_line(LOG_ERROR, "rootfs.erofs: block %llu: %s", (unsigned long long)block, why);
    }
    return -EIO;
}

static int64_t malformed(uint64_t offset)
{
    return refuse(offset / BLOCK_SIZE, "malformed metadata");
}

/* The bytes of a block go into enclave memory first; they are hashed there and used from there. */
static __attribute__((noinline)) int64_t load_block(
    const struct block_key *key, size_t offset, size_t length, void *to)
{
    uint8_t block[BLOCK_SIZE];
    if (host_image_read(IMAGE_ROOTFS, key->index * BLOCK_SIZE, block, BLOCK_SIZE) != BLOCK_SIZE) {
        return refuse(key->index, "cannot be read");
    }
    enum verity_verdict verdict = verity_check(&image, key->index, block, BLOCK_SIZE);
    if (verdict != VERITY_GOOD) {
        return refuse(key->index, verity_text(verdict));
    }
    block_cache_insert(key, block);
    memcpy(to, block + offset, length);
    return 0;
}

static int64_t image_read(uint64_t offset, void *to, size_t length)
{
    if (offset > image.size || length > image.size - offset) {
        return malformed(image.size);
    }
    while (length > 0) {
        struct block_key key = {.object = 0, .index = offset / BLOCK_SIZE, .kind = BLOCK_DATA};
        size_t start = offset % BLOCK_SIZE;
        size_t part = BLOCK_SIZE - start < length ? BLOCK_SIZE - start : length;
        if (!block_cache_copy(&key, start, part, to)) {
            int64_t result = load_block(&key, start, part, to);
            if (result < 0) {
                return result;
            }
        }
        to = (char *)to + part;
        offset += part;
        length -= part;
    }
    return 0;
}

static uint16_t u16_at(const uint8_t *bytes)
{
    uint16_t value;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

static uint32_t u32_at(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

static uint64_t u64_at(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

int64_t erofs_start(uint64_t size, const uint8_t digest[VERITY_DIGEST_SIZE])
{
    if (size == 0 || size % BLOCK_SIZE != 0 || size > CHUNKED_SIZE_MAX) {
        return -EINVAL;
    }
    image = (struct verity_file){.object = 0, .size = size, .tree_offset = 0};
    memcpy(image.digest, digest, VERITY_DIGEST_SIZE);
    reported = false;
    return 0;
}

int64_t erofs_root(uint64_t *nid)
{
    uint8_t superblock[128];
    int64_t result = image_read(SUPERBLOCK_OFFSET, superblock, sizeof(superblock));
    if (result < 0) {
        return result;
    }
    bool known = u32_at(superblock) == SUPERBLOCK_MAGIC && superblock[12] == 12 && superblock[13] == 0 &&
                 u32_at(superblock + 36) == image.size / BLOCK_SIZE && u32_at(superblock + 40) == 0 &&
                 u32_at(superblock + 80) == FEATURE_INCOMPAT_CHUNKED_FILE;
    if (!known) {
        return malformed(SUPERBLOCK_OFFSET);
    }
    *nid = u16_at(superblock + 14);
    return 0;
}

static uint64_t xattr_offset(const struct erofs_inode *inode)
{
    return inode->nid * NID_SIZE + INODE_SIZE;
}

/* Every byte of the content lies inside the image: then no later arithmetic can overflow. */
static bool content_fits(const struct erofs_inode *inode)
{
    if (inode->layout == EROFS_CHUNK_BASED) {
        return inode->size <= CHUNKED_SIZE_MAX && (inode->mode & S_IFMT) == S_IFREG;
    }
    if (inode->size > image.size) {
        return false;
    }
    uint64_t tail = inode->layout == EROFS_FLAT_INLINE ? inode->size % BLOCK_SIZE : 0;
    uint64_t blocks = (inode->size - tail + BLOCK_SIZE - 1) / BLOCK_SIZE;
    uint64_t end_of_body = xattr_offset(inode) + inode->xattr_size + tail;
    return end_of_body <= image.size &&
           (blocks == 0 || inode->union_field + blocks <= image.size / BLOCK_SIZE);
}

int64_t erofs_inode(uint64_t nid, struct erofs_inode *inode)
{
    uint8_t bytes[INODE_SIZE];
    if (nid > image.size / NID_SIZE) {
        return malformed(image.size);
    }
    uint64_t offset = nid * NID_SIZE;
    int64_t result = image_read(offset, bytes, sizeof(bytes));
    if (result < 0) {
        return result;
    }
    uint32_t format = u16_at(bytes);
    uint32_t xattr_count = u16_at(bytes + 2);
    *inode = (struct erofs_inode){
        .nid = nid,
        .layout = (enum erofs_layout)(format >> 1),
        .xattr_size = xattr_count == 0 ? 0 : XATTR_HEADER_SIZE + 4 * (xattr_count - 1),
        .mode = u16_at(bytes + 4),
        .size = u64_at(bytes + 8),
        .union_field = u32_at(bytes + 16),
        .number = u32_at(bytes + 20),
        .uid = u32_at(bytes + 24),
        .gid = u32_at(bytes + 28),
        .mtime = (int64_t)u64_at(bytes + 32),
        .links = u32_at(bytes + 44),
    };
    bool known =
        (format & 1) == 1 && (inode->layout == EROFS_FLAT_PLAIN || inode->layout == EROFS_FLAT_INLINE ||
                                 inode->layout == EROFS_CHUNK_BASED);
    return known && content_fits(inode) ? 0 : malformed(offset);
}

int64_t erofs_read(const struct erofs_inode *inode, uint64_t offset, void *to, size_t length)
{
    if (inode->layout == EROFS_CHUNK_BASED) {
        return malformed(inode->nid * NID_SIZE);
    }
    if (offset >= inode->size) {
        return 0;
    }
    if (length > inode->size - offset) {
        length = (size_t)(inode->size - offset);
    }
    uint64_t in_blocks =
        inode->layout == EROFS_FLAT_INLINE ? inode->size - inode->size % BLOCK_SIZE : inode->size;
    size_t done = 0;
    if (offset < in_blocks) {
        done = in_blocks - offset < length ? (size_t)(in_blocks - offset) : length;
        int64_t result = image_read((uint64_t)inode->union_field * BLOCK_SIZE + offset, to, done);
        if (result < 0) {
            return result;
        }
    }
    if (done < length) {
        uint64_t tail = xattr_offset(inode) + inode->xattr_size + (offset + done - in_blocks);
        int64_t result = image_read(tail, (char *)to + done, length - done);
        if (result < 0) {
            return result;
        }
    }
    return (int64_t)length;
}

/* One block of a directory: where it starts, how long it is, how many names it has. */
struct directory_block {
    uint64_t start;
    uint32_t length;
    uint32_t entries;
};

static uint64_t directory_blocks(const struct erofs_inode *directory)
{
    return (directory->size + BLOCK_SIZE - 1) / BLOCK_SIZE;
}

static int64_t read_exactly(const struct erofs_inode *inode, uint64_t offset, void *to, size_t length)
{
    int64_t result = erofs_read(inode, offset, to, length);
    if (result < 0) {
        return result;
    }
    return (size_t)result == length ? 0 : malformed(inode->nid * NID_SIZE);
}

static int64_t open_block(const struct erofs_inode *directory, uint64_t number, struct directory_block *block)
{
    uint8_t first[DIRENT_SIZE];
    block->start = number * BLOCK_SIZE;
    uint64_t left = directory->size - block->start;
    block->length = left < BLOCK_SIZE ? (uint32_t)left : BLOCK_SIZE;
    int64_t result = read_exactly(directory, block->start, first, sizeof(first));
    if (result < 0) {
        return result;
    }
    uint32_t names = u16_at(first + 8);
    block->entries = names / DIRENT_SIZE;
    bool sound = names % DIRENT_SIZE == 0 && names >= DIRENT_SIZE && names < block->length;
    return sound ? 0 : malformed(directory->nid * NID_SIZE);
}

static int64_t read_entry(const struct erofs_inode *directory, const struct directory_block *block,
    uint32_t index, struct erofs_entry *entry)
{
    uint8_t bytes[2 * DIRENT_SIZE];
    bool last = index + 1 == block->entries;
    int64_t result = read_exactly(
        directory, block->start + index * DIRENT_SIZE, bytes, last ? DIRENT_SIZE : sizeof(bytes));
    if (result < 0) {
        return result;
    }
    uint32_t start = u16_at(bytes + 8);
    uint32_t end = last ? block->length : u16_at(bytes + DIRENT_SIZE + 8);
    if (last && start < end && end - start > NAME_LENGTH_MAX) {
        end = start + NAME_LENGTH_MAX;
    }
    if (start < block->entries * DIRENT_SIZE || start >= end || end > block->length ||
        end - start > NAME_LENGTH_MAX) {
        return malformed(directory->nid * NID_SIZE);
    }
    result = read_exactly(directory, block->start + start, entry->name, end - start);
    if (result < 0) {
        return result;
    }
    entry->nid = u64_at(bytes);
    entry->type = bytes[10];
    entry->name_length = (uint32_t)strnlen(entry->name, end - start);
    entry->name[entry->name_length] = '\0';
    bool sound = entry->name_length > 0 && (last || entry->name_length == end - start) &&
                 !memchr(entry->name, '/', entry->name_length);
    return sound ? 0 : malformed(directory->nid * NID_SIZE);
}

static int compare_names(const char *one, size_t one_length, const char *other, size_t other_length)
{
    int order = memcmp(one, other, one_length < other_length ? one_length : other_length);
    if (order != 0) {
        return order;
    }
    return one_length < other_length ? -1 : one_length > other_length;
}

static int compare_entry(const struct erofs_entry *entry, const char *name, size_t length)
{
    return compare_names(entry->name, entry->name_length, name, length);
}

int64_t erofs_lookup(const struct erofs_inode *directory, const char *name, size_t length, uint64_t *nid)
{
    struct directory_block block;
    struct erofs_entry entry;
    /* The block that can hold the name is the last one whose first name is not greater. */
    uint64_t low = 0, high = directory_blocks(directory);
    while (low + 1 < high) {
        uint64_t middle = low + (high - low) / 2;
        int64_t result = open_block(directory, middle, &block);
        if (result == 0) {
            result = read_entry(directory, &block, 0, &entry);
        }
        if (result < 0) {
            return result;
        }
        if (compare_entry(&entry, name, length) <= 0) {
            low = middle;
        } else {
            high = middle;
        }
    }
    if (high == 0) {
        return -ENOENT;
    }
    int64_t result = open_block(directory, low, &block);
    if (result < 0) {
        return result;
    }
    for (uint32_t first = 0, end = block.entries; first < end;) {
        uint32_t middle = first + (end - first) / 2;
        result = read_entry(directory, &block, middle, &entry);
        if (result < 0) {
            return result;
        }
        int order = compare_entry(&entry, name, length);
        if (order == 0) {
            *nid = entry.nid;
            return 0;
        }
        if (order < 0) {
            first = middle + 1;
        } else {
            end = middle;
        }
    }
    return -ENOENT;
}

int64_t erofs_next(const struct erofs_inode *directory, uint64_t *position, struct erofs_entry *entry)
{
    struct directory_block block;
    uint64_t number = *position >> INDEX_BITS;
    uint32_t index = *position & ((1U << INDEX_BITS) - 1);
    for (; number < directory_blocks(directory); number++, index = 0) {
        int64_t result = open_block(directory, number, &block);
        if (result < 0) {
            return result;
        }
        if (index < block.entries) {
            *position = (number << INDEX_BITS) + index + 1;
            result = read_entry(directory, &block, index, entry);
            return result < 0 ? result : 1;
        }
    }
    return 0;
}

int64_t erofs_next_xattr(const struct erofs_inode *inode, uint64_t *position, struct erofs_xattr *xattr)
{
    uint8_t header[XATTR_ENTRY_SIZE];
    uint64_t at = *position == 0 ? XATTR_HEADER_SIZE : *position;
    if (at + XATTR_ENTRY_SIZE > inode->xattr_size) {
        return 0;
    }
    uint64_t start = xattr_offset(inode);
    int64_t result = image_read(start + at, header, sizeof(header));
    if (result < 0) {
        return result;
    }
    xattr->name_length = header[0];
    xattr->prefix = header[1];
    xattr->value_size = u16_at(header + 2);
    xattr->value_offset = start + at + XATTR_ENTRY_SIZE + xattr->name_length;
    uint64_t end = at + XATTR_ENTRY_SIZE + xattr->name_length + xattr->value_size;
    if (end > inode->xattr_size) {
        return malformed(start);
    }
    result = image_read(start + at + XATTR_ENTRY_SIZE, xattr->name, xattr->name_length);
    if (result < 0) {
        return result;
    }
    xattr->name[xattr->name_length] = '\0';
    *position = (end + 3) & ~3ULL;
    return 1;
}

int64_t erofs_find_xattr(const struct erofs_inode *inode, uint32_t prefix, const char *name, size_t length,
    struct erofs_xattr *xattr)
{
    uint64_t position = 0;
    for (;;) {
        int64_t result = erofs_next_xattr(inode, &position, xattr);
        if (result <= 0) {
            return result < 0 ? result : -ENODATA;
        }
        if (xattr->prefix == prefix && xattr->name_length == length &&
            memcmp(xattr->name, name, length) == 0) {
            return 0;
        }
    }
}

int64_t erofs_xattr_value(const struct erofs_xattr *xattr, void *to, size_t size)
{
    return image_read(xattr->value_offset, to, size < xattr->value_size ? size : xattr->value_size);
}

/* A private xattr of a fixed size. -EIO: it must be there, and is not. */
static int64_t private_xattr(const struct erofs_inode *inode, const char *name, void *to, size_t size)
{
    struct erofs_xattr xattr;
    int64_t result = erofs_find_xattr(inode, EROFS_PREFIX_TRUSTED, name, strlen(name), &xattr);
    if (result == -ENODATA || (result == 0 && xattr.value_size != size)) {
        return malformed(inode->nid * NID_SIZE);
    }
    return result < 0 ? result : erofs_xattr_value(&xattr, to, size);
}

int64_t erofs_host_data(const struct erofs_inode *inode, struct verity_file *file, char *path)
{
    /* version, length, flags, SHA-256 (Linux, fs/overlayfs/overlayfs.h) */
    static const uint8_t ovl_metacopy[4] = {0, 36, 0, 1};
    uint8_t metacopy[36];
    struct erofs_xattr redirect;
    *file = (struct verity_file){.object = inode->nid, .size = inode->size};
    path[0] = '\0';
    int64_t result = private_xattr(inode, "overlay.metacopy", metacopy, sizeof(metacopy));
    if (result < 0) {
        return result;
    }
    if (memcmp(metacopy, ovl_metacopy, sizeof(ovl_metacopy)) != 0) {
        return malformed(inode->nid * NID_SIZE);
    }
    memcpy(file->digest, metacopy + sizeof(ovl_metacopy), VERITY_DIGEST_SIZE);
    if (inode->size > BLOCK_SIZE) {
        uint8_t offset[8];
        result = private_xattr(inode, "enclavize.merkle", offset, sizeof(offset));
        if (result < 0) {
            return result;
        }
        file->tree_offset = u64_at(offset);
    }
    if (inode->links <= 1) {
        return 0;
    }
    static const char name[] = "overlay.redirect";
    result = erofs_find_xattr(inode, EROFS_PREFIX_TRUSTED, name, sizeof(name) - 1, &redirect);
    if (result < 0) {
        return result == -ENODATA ? malformed(inode->nid * NID_SIZE) : result;
    }
    if (redirect.value_size < 2 || redirect.value_size > PATH_LENGTH_MAX) {
        return malformed(inode->nid * NID_SIZE);
    }
    redirect.value_offset += 1; /* the slash */
    redirect.value_size -= 1;
    path[redirect.value_size] = '\0';
    return erofs_xattr_value(&redirect, path, redirect.value_size);
}
