/*
 * Shows the tree as the application sees it, with or without a host that cheats.
 *
 * tree_test IMAGE VERITY DATA DIGEST COMMAND ..., all sizes from the files:
 *
 * list                 one line a path
 *
 * tamper TARGET SEED COUNT    COUNT times: flip one bit of the host's file, list everything, and compare
 *                      with the honest listing. TARGET: image, verity, or the path of a file
 *
 * swap TARGET SEED COUNT      the same, but only every second read of the byte finds it flipped
 *
 * read PATH            the content, or the errno
 */
#include "shim.h"

#include "fs/block_cache.h"
#include "fs/fs.h"

int fork(void);
int waitpid(int child, int *status, int options);
int open(const char *path, int flags, ...);
long lseek(int fd, long offset, int whence);
long write(int fd, const void *from, size_t size);
void *realloc(void *object, size_t size);

static struct configuration measured;

static uint64_t size_of(const char *path)
{
    int fd = open(path, 0);
    return (uint64_t)lseek(fd, 0, 2);
}

static struct {
    char *bytes;
    size_t size, used;
} listing;

static void add(const char *bytes, size_t length)
{
    if (length > listing.size - listing.used) {
        listing.size = (listing.size + length) * 2;
        listing.bytes = realloc(listing.bytes, listing.size);
    }
    memcpy(listing.bytes + listing.used, bytes, length);
    listing.used += length;
}

static void add_escaped(const char *bytes, size_t length)
{
    for (size_t at = 0; at < length; at++) {
        char text[8];
        uint8_t byte = (uint8_t)bytes[at];
        bool plain = byte > ' ' && byte < 0x7F && byte != '%';
        add(text, (size_t)snprintf(text, sizeof(text), plain ? "%c" : "%%%02x", byte));
    }
}

static void add_format(const char *format, unsigned long long value)
{
    char text[64];
    add(text, (size_t)snprintf(text, sizeof(text), format, value));
}

static void add_content(const char *path)
{
    static uint8_t content[8 << 20];
    uint8_t digest[32];
    int64_t descriptor = CALL_LIBOS(open, USER(path), 0);
    if (descriptor < 0) {
        add_format("E%llu", (unsigned long long)-descriptor);
        return;
    }
    uint64_t used = 0;
    for (;;) {
        uint64_t part = used % 3 == 0 ? 1000 : 200000; /* small reads and large ones */
        int64_t got = CALL_LIBOS(read, (uint64_t)descriptor, USER(content + used), part);
        if (got < 0) {
            add_format("E%llu", (unsigned long long)-got);
            CALL_LIBOS(close, (uint64_t)descriptor);
            return;
        }
        if (got == 0) {
            break;
        }
        used += (uint64_t)got;
    }
    CALL_LIBOS(close, (uint64_t)descriptor);
    sha256(content, used, digest);
    for (size_t at = 0; at < sizeof(digest); at++) {
        add_format("%02llx", digest[at]);
    }
}

/* name=SHA-256 of the value, each. */
static void add_xattrs(const char *path)
{
    static char names[65536], value[65536];
    uint8_t digest[32] __attribute__((aligned(8)));
    int64_t size = CALL_LIBOS(llistxattr, USER(path), USER(names), sizeof(names));
    for (const char *name = names; name < names + size; name += strlen(name) + 1) {
        int64_t length = CALL_LIBOS(lgetxattr, USER(path), USER(name), USER(value), sizeof(value));
        add(" ", 1);
        if (length < 0) {
            add_format("E%llu", (unsigned long long)-length);
            return;
        }
        add_escaped(name, strlen(name));
        sha256(value, (size_t)length, digest);
        add_format("=%016llx", __builtin_bswap64(*(uint64_t *)(void *)digest));
    }
    if (size < 0) {
        add_format(" E%llu", (unsigned long long)-size);
    }
}

struct stat_words {
    uint64_t device, inode, links;
    uint32_t mode, uid, gid, padding;
    uint64_t rdev;
    int64_t size, block_size, blocks, atime, atime_ns, mtime, mtime_ns, ctime, ctime_ns, unused[3];
};

static void list(const char *path);

static void list_directory(const char *path)
{
    static char block[64][32768];
    static uint32_t depth;
    int64_t descriptor = CALL_LIBOS(open, USER(path), 0200000);
    if (descriptor < 0) {
        add_format("E%llu\n", (unsigned long long)-descriptor);
        return;
    }
    char *records = block[depth++];
    int64_t size;
    while ((size = CALL_LIBOS(getdents64, (uint64_t)descriptor, USER(records), 4000)) > 0) {
        for (int64_t at = 0; at < size;) {
            uint16_t length;
            memcpy(&length, records + at + 16, sizeof(length));
            const char *name = records + at + 19;
            at += length;
            if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
                continue;
            }
            char child[4096];
            snprintf(child, sizeof(child), "%s/%s", strcmp(path, "/") == 0 ? "" : path, name);
            list(child);
        }
    }
    if (size < 0) {
        add_escaped(path, strlen(path));
        add_format(" E%llu\n", (unsigned long long)-size);
    }
    CALL_LIBOS(close, (uint64_t)descriptor);
    depth--;
}

/* path mode links uid gid size blocks mtime rdev content-or-target */
static void list(const char *path)
{
    struct stat_words stat;
    add_escaped(path, strlen(path));
    int64_t result = CALL_LIBOS(lstat, USER(path), USER(&stat));
    if (result < 0) {
        add_format(" E%llu\n", (unsigned long long)-result);
        return;
    }
    add_format(" %llo", stat.mode);
    add_format(" %llu", stat.links);
    add_format(" %llu", stat.uid);
    add_format(" %llu", stat.gid);
    add_format(" %llu", (unsigned long long)stat.size);
    add_format(" %llu", (unsigned long long)stat.blocks);
    add_format(" %lld", (unsigned long long)stat.mtime);
    add_format(" %llu ", stat.rdev);
    uint32_t type = stat.mode & 0170000;
    if (type == 0100000) {
        add_content(path);
        add_xattrs(path);
    } else if (type == 0120000) {
        char target[4096];
        result = CALL_LIBOS(readlink, USER(path), USER(target), sizeof(target));
        if (result < 0) {
            add_format("E%llu", (unsigned long long)-result);
        } else {
            add_escaped(target, (size_t)result);
        }
    }
    add("\n", 1);
    if (type == 0040000 && strcmp(path, "/dev") != 0) { /* made at start, with the time of the start */
        list_directory(path);
    }
}

/* A tree that cannot be opened is one line as well. */
static void list_all(void)
{
    listing.used = 0;
    int64_t result = fs_start(&measured);
    if (result < 0) {
        add_format("/ E%llu\n", (unsigned long long)-result);
    } else {
        list("/");
    }
    add("", 1);
}

static bool is_error_line(const char *line, size_t length)
{
    const char *end = line + length;
    while (end > line && end[-1] >= '0' && end[-1] <= '9') {
        end--;
    }
    return end > line && end[-1] == 'E' && end < line + length && end - line >= 2 && end[-2] == ' ' &&
           strncmp(end, "5", 1) == 0 && end + 1 == line + length;
}

/* Every line is either an honest one or says EIO, and at least one says it. */
static int compare(const char *honest)
{
    uint32_t errors = 0;
    for (char *line = listing.bytes; *line != '\0';) {
        char *end = strchr(line, '\n');
        size_t length = (size_t)(end - line);
        if (is_error_line(line, length)) {
            errors++;
        } else {
            bool known = false;
            for (const char *at = honest; !known && *at != '\0'; at = strchr(at, '\n') + 1) {
                known = strncmp(at, line, length) == 0 && at[length] == '\n';
            }
            if (!known) {
                printf("not an honest line: %.*s\n", (int)length, line);
                return 1;
            }
        }
        line = end + 1;
    }
    if (fault.every > 0) {
        return 0; /* the flipped read may have come from the cache, or have been the honest one */
    }
    if (errors == 0) {
        printf("nothing was refused\n");
        return 1;
    }
    if (log_lines == 0) {
        printf("nothing was logged\n");
        return 1;
    }
    return 0;
}

static uint64_t state;

static uint64_t next_random(void)
{
    state ^= state << 13; /* xorshift64 */
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static int tamper(const char *target, uint64_t seed, uint32_t count)
{
    uint64_t size = size_of(verity_path);
    char path[4096];
    if (strcmp(target, "image") == 0) {
        fault.target = FAULT_IMAGE;
        size = size_of(image_path);
    } else if (strcmp(target, "verity") == 0) {
        fault.target = FAULT_VERITY;
    } else {
        fault.target = FAULT_DATA;
        fault.path = target;
        snprintf(path, sizeof(path), "%s/%s", data_root, target);
        size = size_of(path);
    }
    /* The honest listing, from a child: this process must not start a file system of its own. */
    int ends[2];
    int pipe(int descriptors[2]);
    long read(int fd, void *to, size_t length);
    pipe(ends);
    if (fork() == 0) {
        fault.target = FAULT_NONE;
        list_all();
        for (size_t done = 0; done < listing.used;) {
            done += (size_t)write(ends[1], listing.bytes + done, listing.used - done);
        }
        exit(0);
    }
    int close(int fd);
    close(ends[1]);
    char *honest = calloc(1, 4 << 20);
    size_t used = 0;
    for (long got; (got = read(ends[0], honest + used, (4 << 20) - used)) > 0;) {
        used += (size_t)got;
    }
    state = seed * 0x9E3779B97F4A7C15ULL + 1;
    int status, failed = 0;
    waitpid(-1, &status, 0);
    for (uint32_t at = 0; at < count; at++) {
        fault.offset = next_random() % size;
        fault.mask = (uint8_t)(1U << next_random() % 8);
        fflush(NULL);
        if (fork() == 0) {
            list_all();
            int result = compare(honest);
            if (result != 0) {
                printf("%s, byte %llu, mask %u\n", target, (unsigned long long)fault.offset, fault.mask);
            }
            fflush(NULL);
            exit(result);
        }
        waitpid(-1, &status, 0);
        failed |= status;
    }
    return failed != 0;
}

static int read_path(const char *path)
{
    int64_t result = fs_start(&measured);
    if (result == 0) {
        add_content(path);
        add("", 1);
        printf("%s %u %s\n", listing.bytes, log_lines, last_line);
    }
    return result < 0;
}

int main(int count, char **arguments)
{
    shim_start(arguments[1], arguments[2], arguments[3], NULL);
    measured.has_rootfs = true;
    measured.rootfs_size = size_of(arguments[1]);
    measured.verity_size = size_of(arguments[2]);
    for (size_t at = 0; at < sizeof(measured.rootfs_digest); at++) {
        char byte[3] = {arguments[4][2 * at], arguments[4][2 * at + 1]};
        measured.rootfs_digest[at] = (uint8_t)strtoull(byte, NULL, 16);
    }
    const char *command = arguments[5];
    if (strcmp(command, "swap") == 0 && count == 9) {
        fault.every = 2;
        return tamper(arguments[6], strtoull(arguments[7], NULL, 10), (uint32_t)atoi(arguments[8]));
    }
    if (strcmp(command, "tamper") == 0 && count == 9) {
        return tamper(arguments[6], strtoull(arguments[7], NULL, 10), (uint32_t)atoi(arguments[8]));
    }
    if (strcmp(command, "read") == 0 && count == 7) {
        return read_path(arguments[6]);
    }
    list_all();
    printf("%s", listing.bytes);
    return 0;
}
