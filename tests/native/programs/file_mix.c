/*
 * file_mix SEED COUNT ROOT [v]: random operations on names, links, content, holes, attributes, and events, below ROOT, which
 * is made and removed. Prints a digest of all results and errors for each hundred operations, or, with v, all of them. What
 * is said natively on a tmpfs has to be said in the enclave. Without extended attributes natively (EOPNOTSUPP) none are tried.
 */
#define _GNU_SOURCE
#include "docker_rights.h"
#include "mix.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SLOTS 8
#define NAMES 5
#define DEPTH 3

static int slots[SLOTS], listener, has_xattrs;
static const char *root;

static const char *path(void)
{
    static char paths[4][64];
    static int last;
    char *to = paths[last++ % 4];
    unsigned depth = 1 + draw(DEPTH), length = 0;
    for (unsigned at = 0; at < depth; at++) {
        length += (unsigned)sprintf(to + length, "%s%c", at ? "/" : "", 'a' + (char)draw(NAMES));
    }
    if (draw(40) == 0) {
        strcpy(to + length, draw(2) ? "/" : "/.");
    }
    say(" %s", to);
    return to;
}

static int slot(void)
{
    int at = (int)draw(SLOTS);
    say(" slot %d", at);
    return at;
}

static void put(int at, int fd)
{
    if (fd >= 0) {
        if (slots[at] >= 0) {
            CHECK(close(slots[at]) == 0);
        }
        slots[at] = fd;
    }
    result(fd < 0 ? -1 : 0);
}

static void opening(void)
{
    static const int flags[] = {O_RDONLY, O_RDWR, O_RDWR | O_CREAT, O_RDWR | O_CREAT | O_EXCL, O_WRONLY | O_APPEND | O_CREAT,
        O_PATH, O_RDONLY | O_DIRECTORY, O_RDWR | O_NOFOLLOW | O_CREAT, O_PATH | O_NOFOLLOW};
    int which = flags[draw(sizeof flags / sizeof flags[0])], at = slot();
    say(" open %x", which);
    put(at, open(path(), which | O_NONBLOCK, 0640));
}

static void unnamed(void)
{
    int at = slot();
    say(" tmpfile");
    put(at, open(path(), O_TMPFILE | O_RDWR | (draw(4) ? 0 : O_EXCL), 0600));
}

static void closing(void)
{
    int at = slot();
    say(" close");
    result(slots[at] < 0 ? 0 : close(slots[at]));
    slots[at] = -1;
}

static void content(void)
{
    static char bytes[9000];
    int fd = slots[slot()];
    off_t offset = draw(30000);
    size_t length = draw(sizeof bytes);
    long done;
    switch (draw(7)) {
    case 0:
        say(" ftruncate %ld", (long)offset);
        result(ftruncate(fd, offset));
        break;
    case 1:
        say(" truncate %ld", (long)offset);
        result(truncate(path(), offset));
        break;
    case 2:
        say(" punch %ld %zu", (long)offset, length + 1);
        result(fallocate(fd, 3, offset, (off_t)length + 1));
        break;
    case 3:
        say(" data, hole");
        result(lseek(fd, offset, SEEK_DATA));
        result(lseek(fd, offset, SEEK_HOLE));
        break;
    case 4:
        say(" read %ld", (long)offset);
        done = pread(fd, bytes, length, offset);
        mix_in(bytes, done < 0 ? 0 : (size_t)done);
        result(done);
        break;
    default:
        memset(bytes, 'a' + (char)draw(26), length);
        say(" write %ld", (long)offset);
        result(pwrite(fd, bytes, length, offset));
        break;
    }
}

static void naming(void)
{
    static const unsigned flags[] = {0, 0, 0, 1, 2, 2, 3, 4};
    const char *from = path(), *to = path();
    char descriptor[64];
    unsigned which = flags[draw(8)];
    int at;
    switch (draw(6)) {
    case 0:
        say(" link");
        result(link(from, to));
        break;
    case 1:
        say(" symlink");
        result(symlink(from, to));
        break;
    case 2:
        at = slot();
        say(" linkat");
        snprintf(descriptor, sizeof descriptor, "/proc/self/fd/%d", slots[at]);
        result(slots[at] < 0 ? 0 : linkat(AT_FDCWD, descriptor, AT_FDCWD, to, AT_SYMLINK_FOLLOW));
        break;
    default:
        say(" rename %u", which == 4 ? 0 : which);
        result(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, which == 4 ? 0 : which));
        break;
    }
}

static void making(void)
{
    const char *where = path();
    switch (draw(8)) {
    case 0:
    case 1:
        say(" unlink");
        result(unlink(where));
        break;
    case 2:
        say(" rmdir");
        result(rmdir(where));
        break;
    case 3:
        say(" mkfifo");
        result(mkfifo(where, 0600));
        break;
    default:
        say(" mkdir");
        result(mkdir(where, 0750));
        break;
    }
}

static void status(void)
{
    struct stat found;
    const char *where = path();
    int follows = (int)draw(2);
    say(" stat");
    long done = fstatat(AT_FDCWD, where, &found, follows ? 0 : AT_SYMLINK_NOFOLLOW);
    if (done == 0) {
        long size = S_ISDIR(found.st_mode) ? 0 : (long)found.st_size;
        say(" %o %ld %ld %ld", found.st_mode, (long)found.st_nlink, size, (long)found.st_mtime % 7 * (found.st_mtime < 99));
    }
    result(done);
}

static void attributes(void)
{
    struct timespec times[2] = {{.tv_sec = draw(50)}, {.tv_sec = draw(50)}};
    const char *where = path();
    int fd = slots[slot()];
    times[draw(2)].tv_nsec = draw(2) ? UTIME_OMIT : 0;
    switch (draw(4)) {
    case 0:
        say(" chmod");
        result(chmod(where, 0600 | draw(0200)));
        break;
    case 1:
        say(" fchmod");
        result(fchmod(fd, 0600 | draw(0200)));
        break;
    case 2:
        say(" utimens");
        result(utimensat(AT_FDCWD, where, times, draw(2) ? AT_SYMLINK_NOFOLLOW : 0));
        break;
    default:
        say(" futimens");
        result(futimens(fd, times));
        break;
    }
}

static int by_name(const void *one, const void *other)
{
    return strcmp(*(char *const *)one, *(char *const *)other);
}

static void extended(void)
{
    static const char *const names[] = {"user.one", "user.two", "user.three", "trusted.none", "other.none"};
    char list[512], *sorted[16], value[32];
    int count = 0, follows = (int)draw(2);
    const char *where = path(), *name = names[draw(draw(10) ? 3 : 5)];
    say(" %s", name);
    long done;
    switch (draw(4)) {
    case 0:
        say(" list");
        done = follows ? listxattr(where, list, sizeof list) : llistxattr(where, list, sizeof list);
        for (char *at = list; at < list + done; at += strlen(at) + 1) {
            sorted[count++] = at;
        }
        qsort(sorted, (size_t)count, sizeof sorted[0], by_name);
        for (int at = 0; at < count; at++) {
            say(" %s", sorted[at]);
        }
        result(done);
        break;
    case 1:
        say(" remove");
        result(follows ? removexattr(where, name) : lremovexattr(where, name));
        break;
    case 2:
        say(" get");
        done = getxattr(where, name, value, draw(20));
        result(done);
        break;
    default:
        say(" set");
        done = draw(20);
        result(lsetxattr(where, name, "0123456789012345678", (size_t)done, (int)draw(3)));
        break;
    }
}

static void listing(void)
{
    const char *where = path(), *names[64];
    int count = 0;
    say(" list");
    DIR *directory = opendir(where);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL && count < 64;) {
        names[count++] = strdup(entry->d_name);
    }
    qsort(names, (size_t)count, sizeof names[0], by_name);
    for (int at = 0; at < count; at++) {
        say(" %s", names[at]);
        free((void *)(uintptr_t)names[at]);
    }
    result(directory == NULL ? -1 : closedir(directory));
}

static void places(void)
{
    char descriptor[64], target[300];
    int at = slot();
    say(" where");
    snprintf(descriptor, sizeof descriptor, "/proc/self/fd/%d", slots[at]);
    ssize_t length = slots[at] < 0 ? 0 : readlink(descriptor, target, sizeof target - 1);
    target[length > 0 ? length : 0] = '\0';
    size_t prefix = strlen(root);
    char *number = strchr(target, '#');
    if (number != NULL) {
        strcpy(number, "#"); /* the number of something unnamed */
    }
    if (strncmp(target, root, prefix) == 0) {
        say(" %s", target + prefix);
    }
    result(length < 0 ? -1 : 0);
}

static void watching(void)
{
    static const uint32_t flags[] = {0, 0, 0, IN_MASK_ADD, IN_ONESHOT, IN_EXCL_UNLINK, IN_DONT_FOLLOW, IN_ONLYDIR};
    uint32_t which = flags[draw(8)], mask = draw(2) ? IN_ALL_EVENTS : 1 + draw(IN_ALL_EVENTS);
    if (draw(6) == 0) {
        int number = 1 + (int)draw(40);
        say(" rm_watch %d", number);
        result(inotify_rm_watch(listener, number));
        return;
    }
    say(" watch %x", mask | which);
    result(inotify_add_watch(listener, path(), mask | which));
}

static void events(void)
{
    char bytes[16384] __attribute__((aligned(8)));
    for (ssize_t size; (size = read(listener, bytes, sizeof bytes)) > 0;) {
        for (char *at = bytes; at < bytes + size;) {
            const struct inotify_event *event = (const void *)at;
            const char *name = event->len == 0 ? "" : event->name[0] == '#' ? "#" : event->name;
            say("  event %d %x %d %s\n", event->wd, event->mask, event->cookie != 0, name);
            at += sizeof *event + event->len;
        }
    }
    CHECK(errno == EAGAIN);
}

/* Trees become deeper than paths may be. */
static void remove_tree(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            remove_tree(fd, entry->d_name);
        }
    }
    if (directory != NULL) {
        closedir(directory);
    }
    (void)unlinkat(parent, name, directory != NULL ? AT_REMOVEDIR : 0);
}

int main(int argc, char **argv)
{
    static void (*const operations[])(void) = {opening, opening, unnamed, closing, content, content, content, naming, naming,
        naming, making, making, making, status, status, attributes, extended, listing, places, watching};
    CHECK(argc >= 4);
    mix.state = strtoull(argv[1], NULL, 10);
    long count = strtol(argv[2], NULL, 10);
    root = argv[3];
    mix.is_verbose = argc > 4;
    keep_docker_rights();
    umask(022);
    remove_tree(AT_FDCWD, root);
    CHECK(mkdir(root, 0700) == 0 && chdir(root) == 0);
    has_xattrs = setxattr(".", "user.try", "x", 1, 0) == 0 && removexattr(".", "user.try") == 0;
    listener = inotify_init1(IN_NONBLOCK);
    for (int at = 0; at < SLOTS; at++) {
        slots[at] = -1;
    }
    for (long at = 1; at <= count; at++) {
        void (*operation)(void) = operations[draw(sizeof operations / sizeof operations[0])];
        say("%ld:", at);
        if (operation != extended || has_xattrs) {
            operation();
        }
        events();
        tell_digest(at);
    }
    CHECK(chdir("/") == 0);
    remove_tree(AT_FDCWD, root);
    CHECK(access(root, F_OK) == -1 && errno == ENOENT);
    puts("mix ok");
}
