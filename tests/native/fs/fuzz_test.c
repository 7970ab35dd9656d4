/*
 * The parser of the metadata image against images that were written wrongly: verification is switched off, so
 * that every changed byte reaches it. The sanitizers judge.
 *
 * fuzz_test IMAGE SEED COUNT
 */
#include "shim.h"

#include "boundary/boundary.h"
#include "fs/erofs.h"

int open(const char *path, int flags, ...);
long lseek(int fd, long offset, int whence);
long pread(int fd, void *to, size_t size, long offset);

static uint8_t *original, *changed;
static uint64_t size;
static uint64_t state;

/* In the place of verity.c and block_cache.c. */
enum verity_verdict verity_check(
    const struct verity_file *file, uint64_t first, const uint8_t *data, size_t length)
{
    (void)file, (void)first, (void)data, (void)length;
    return VERITY_GOOD;
}

const char *verity_text(enum verity_verdict verdict)
{
    (void)verdict;
    return "";
}

bool block_cache_copy(const struct block_key *key, size_t offset, size_t length, void *to)
{
    (void)key, (void)offset, (void)length, (void)to;
    return false;
}

void block_cache_insert(const struct block_key *key, const void *block)
{
    (void)key, (void)block;
}

int64_t host_image_read(enum image_file file, uint64_t offset, void *to, size_t length)
{
    (void)file;
    memcpy(to, changed + offset, length);
    return (int64_t)length;
}

void log_line(enum log_level level, const char *format, ...)
{
    (void)level, (void)format;
}

static uint64_t next_random(void)
{
    state ^= state << 13; /* xorshift64 */
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void visit(uint64_t nid, uint32_t depth, uint32_t *budget)
{
    static char path[PATH_LENGTH_MAX];
    struct erofs_inode inode;
    struct erofs_entry entry;
    struct erofs_xattr xattr;
    struct verity_file file;
    uint8_t bytes[300];
    if (depth > 20 || (*budget)-- == 0 || erofs_inode(nid, &inode) < 0) {
        return;
    }
    for (uint64_t position = 0; erofs_next_xattr(&inode, &position, &xattr) == 1;) {
        erofs_xattr_value(&xattr, bytes, sizeof(bytes));
    }
    erofs_read(&inode, 0, bytes, sizeof(bytes));
    erofs_read(&inode, inode.size - 100, bytes, sizeof(bytes));
    erofs_read(&inode, next_random(), bytes, sizeof(bytes));
    if (inode.layout == EROFS_CHUNK_BASED) {
        erofs_host_data(&inode, &file, path);
        return;
    }
    uint64_t child;
    erofs_lookup(&inode, "busybox", 7, &child);
    if ((inode.mode & 0170000) != 0040000) {
        return;
    }
    uint32_t names = 0;
    for (uint64_t position = 0; names < 1000 && erofs_next(&inode, &position, &entry) == 1; names++) {
        bool dot = strcmp(entry.name, ".") == 0 || strcmp(entry.name, "..") == 0;
        if (!dot && *budget > 0) {
            visit(entry.nid, depth + 1, budget);
        }
    }
}

int main(int count, char **arguments)
{
    static const uint8_t digest[32];
    static const uint64_t interesting[] = {
        0, 1, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, UINT64_MAX, 4095, 4096, 4097};
    if (count != 4) {
        return 2;
    }
    int fd = open(arguments[1], 0);
    size = (uint64_t)lseek(fd, 0, 2);
    original = calloc(1, size);
    changed = calloc(1, size);
    pread(fd, original, size, 0);
    state = strtoull(arguments[2], NULL, 10) * 0x9E3779B97F4A7C15ULL + 1;
    for (int round = 0; round < atoi(arguments[3]); round++) {
        memcpy(changed, original, size);
        for (uint64_t at = 0; at < 1 + next_random() % 40; at++) {
            uint64_t value =
                next_random() % 2 ? next_random() : interesting[next_random() % ARRAY_LENGTH(interesting)];
            uint64_t length = 1ULL << next_random() % 4;
            uint64_t offset = next_random() % 2 ? next_random() % size : 1024 + next_random() % 8192;
            memcpy(changed + offset, &value, offset + length <= size ? length : 1);
        }
        uint64_t nid;
        uint32_t budget = 2000;
        erofs_start(size, digest);
        if (erofs_root(&nid) == 0) {
            visit(nid, 0, &budget);
        }
        visit(next_random() % (size / 32), 0, &budget);
    }
    return 0;
}
