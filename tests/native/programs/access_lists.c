/*
 * access_lists SEED COUNT: POSIX access lists on files in memory (acl(5)); access_lists lists/NAME...: lists that files have. Random lists, well formed and not, on a file and on
 * a directory with a file that is made in it; prints what is set, what is told, and what each of several users may. What
 * Linux says on a tmpfs has to be said in the enclave.
 */
#define _GNU_SOURCE
#include "docker_rights.h"
#include "mix.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define FOLDER "/dev/shm/access-lists"
#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"
#define ENTRIES_MAX 12U
#define NOBODY 0xFFFFFFFFU

enum { OWNER = 1, USER = 2, OWNING_GROUP = 4, GROUP = 8, MASK = 16, OTHERS = 32 };

struct entry {
    uint16_t tag, rights; /* posix_acl_xattr.h of Linux */
    uint32_t id;
};

struct list {
    uint32_t version;
    struct entry entries[ENTRIES_MAX];
};

static const struct {
    uid_t user;
    gid_t group, other;
} users[] = {{1000, 1000, 2000}, {1001, 1001, 2001}, {1002, 1002, 1000}, {1003, 2000, 2001}, {1004, 1004, 1004}};

static size_t add(struct list *list, size_t count, int tag, uint32_t id)
{
    list->entries[count] = (struct entry){(uint16_t)tag, (uint16_t)draw(8), id};
    return count + 1;
}

/* Its size in bytes. */
static size_t make_list(struct list *list)
{
    size_t count = 0, users_in = draw(3), groups_in = draw(3);
    list->version = 2;
    count = add(list, count, OWNER, NOBODY);
    for (size_t at = 0; at < users_in; at++) {
        count = add(list, count, USER, 1000 + draw(5));
    }
    count = add(list, count, OWNING_GROUP, NOBODY);
    for (size_t at = 0; at < groups_in; at++) {
        count = add(list, count, GROUP, draw(2) ? 1000 + draw(5) : 2000 + draw(2));
    }
    if (users_in + groups_in > 0 || draw(4) == 0) {
        count = add(list, count, MASK, draw(2) ? NOBODY : 0);
    }
    count = add(list, count, OTHERS, NOBODY);
    return sizeof list->version + count * sizeof list->entries[0];
}

/* Mostly none that Linux takes. */
static size_t spoil(struct list *list, size_t size)
{
    size_t count = (size - sizeof list->version) / sizeof list->entries[0], one = draw((unsigned)count), other = draw((unsigned)count);
    struct entry swapped = list->entries[one];
    switch (draw(8)) {
    case 0:
        return draw((unsigned)size + 1);
    case 1:
        list->version = draw(4);
        return size;
    case 2:
        list->entries[one] = list->entries[other];
        list->entries[other] = swapped;
        return size;
    case 3:
        list->entries[one].rights = (uint16_t)(8U << draw(12));
        return size;
    case 4:
        list->entries[one].tag = (uint16_t)draw(66);
        return size;
    case 5:
        list->entries[one].id = NOBODY;
        return size;
    case 6:
        list->entries[one] = list->entries[other];
        return size;
    default:
        return draw(2) * sizeof list->version;
    }
}

static void show(const char *path, const char *name)
{
    struct list found;
    ssize_t size = getxattr(path, name, &found, sizeof found);
    printf(" %zd/%d", size, size < 0 ? errno : 0);
    for (ssize_t at = 0; size > 0 && at < (size - 4) / 8; at++) {
        printf(" %d:%d:%x", found.entries[at].tag, found.entries[at].rights, found.entries[at].id);
    }
    CHECK(size < 0 || getxattr(path, name, NULL, 0) == size);
    CHECK(size <= 0 || (getxattr(path, name, &found, (size_t)size - 1) == -1 && errno == ERANGE));
}

static void look(const char *path)
{
    char names[512];
    struct stat status;
    CHECK(lstat(path, &status) == 0);
    ssize_t size = listxattr(path, names, sizeof names);
    printf("%s %o", path, status.st_mode);
    for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1) {
        printf(" %s", names + at);
    }
    show(path, ACCESS);
    show(path, DEFAULT);
    puts("");
}

static void ask_all(const char *path)
{
    for (size_t at = 0; at < sizeof users / sizeof users[0]; at++) {
        gid_t groups[] = {users[at].other};
        CHECK(setgroups(1, groups) == 0 && setegid(users[at].group) == 0 && seteuid(users[at].user) == 0);
        for (int rights = 0; rights < 8; rights++) {
            putchar(faccessat(AT_FDCWD, path, rights, AT_EACCESS) == 0 ? '0' + rights : '-');
        }
        int fd = open(path, O_RDONLY);
        printf(" %d", fd < 0 ? errno : close(fd));
        printf(" %d ", setxattr(path, "user.x", "x", 1, 0) == 0 ? 0 : errno);
        CHECK(seteuid(0) == 0 && setegid(0) == 0);
    }
    removexattr(path, "user.x");
    puts("");
}

static void change(const char *path, const char *name)
{
    struct list list;
    size_t size = make_list(&list);
    int who = (int)draw(8);
    size = draw(4) == 0 ? spoil(&list, size) : size;
    CHECK(seteuid(who == 0 ? 1000 : who == 1 ? 1001 : 0) == 0);
    int result = setxattr(path, name, &list, size, (int)draw(3));
    printf("set %s %zu: %d", name, size, result == 0 ? 0 : errno);
    if (draw(8) == 0) {
        printf(" remove: %d", removexattr(path, name) == 0 ? 0 : errno);
    }
    CHECK(seteuid(0) == 0);
    puts("");
}

static void on_file(void)
{
    const char *path = FOLDER "/file";
    CHECK(close(open(path, O_CREAT | O_RDWR, 0640)) == 0);
    CHECK(chown(path, draw(2) ? 1000 : 1001, draw(2) ? 1000 : 2000) == 0);
    CHECK(chmod(path, draw(4) == 0 ? 02755 : draw(512)) == 0);
    change(path, ACCESS);
    look(path);
    ask_all(path);
    if (draw(2)) {
        CHECK(chmod(path, draw(512)) == 0);
        look(path);
        ask_all(path);
    }
    change(path, DEFAULT);
    look(path);
    CHECK(unlink(path) == 0);
}

static void on_directory(void)
{
    const char *path = FOLDER "/directory", *file = FOLDER "/directory/file", *below = FOLDER "/directory/below";
    const char *link = FOLDER "/directory/link", *fifo = FOLDER "/directory/fifo";
    CHECK(mkdir(path, draw(512)) == 0);
    change(path, DEFAULT);
    change(path, draw(2) ? ACCESS : DEFAULT);
    look(path);
    mode_t before = umask((mode_t)draw(512));
    CHECK(close(open(file, O_CREAT | O_RDWR, draw(512))) == 0 && mkdir(below, draw(512)) == 0);
    CHECK(symlink("nowhere", link) == 0 && mkfifo(fifo, draw(512)) == 0);
    int unnamed = open(path, O_TMPFILE | O_RDWR, draw(512));
    struct stat status;
    CHECK(unnamed >= 0 && fstat(unnamed, &status) == 0 && close(unnamed) == 0);
    umask(before);
    printf("unnamed %o\n", status.st_mode);
    look(file);
    look(below);
    look(fifo);
    CHECK(lsetxattr(link, ACCESS, "", 0, 0) == -1 && errno == EOPNOTSUPP);
    CHECK(lgetxattr(link, ACCESS, NULL, 0) == -1 && errno == EOPNOTSUPP);
    ask_all(file);
    ask_all(below);
    CHECK(unlink(file) == 0 && rmdir(below) == 0 && unlink(link) == 0 && unlink(fifo) == 0 && rmdir(path) == 0);
}

int main(int count, char **arguments)
{
    keep_docker_rights();
    if (count > 1 && arguments[1][0] == 'l') {
        for (int at = 1; at < count; at++) {
            look(arguments[at]);
            ask_all(arguments[at]);
        }
        return 0;
    }
    CHECK(count == 3);
    mix.state = strtoul(arguments[1], NULL, 10);
    umask(022);
    CHECK(mkdir(FOLDER, 0777) == 0 && chmod(FOLDER, 0777) == 0);
    for (unsigned long at = strtoul(arguments[2], NULL, 10); at > 0; at--) {
        on_file();
        on_directory();
    }
    CHECK(rmdir(FOLDER) == 0);
    puts("access lists ok");
}
