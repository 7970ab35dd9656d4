/* Where paths lead, and what names are made, moved and taken away. */
#include "calls.h"

void test_paths(void)
{
    static char long_name[300], long_path[5000];
    memset(long_name, 'a', 256);
    CHECK(stat_file("/etc/hosts"), 0);
    CHECK(stat_file("/etc/./../etc//hosts"), 0);
    CHECK(stat_file("/../../etc/hosts"), 0);
    CHECK(stat_file("/etc/hosts/"), -ENOTDIR);
    CHECK(stat_file("/etc/hosts/x"), -ENOTDIR);
    CHECK(stat_file("/etc/hosts/.."), -ENOTDIR);
    CHECK(stat_file("/nothing"), -ENOENT);
    CHECK(stat_file(""), -ENOENT);
    CHECK(stat_file("/"), 0);
    CHECK(stat_file("/etc/"), 0);
    CHECK(stat_file(long_name), -ENAMETOOLONG);
    memset(long_path, '/', 4999);
    CHECK(stat_file(long_path), -ENAMETOOLONG);
    CHECK(CALL_LIBOS(lstat, 0, USER(&status)), -EFAULT);
    CHECK(CALL_LIBOS(symlink, USER("/tmp/loop"), USER("/tmp/loop")), 0);
    CHECK(open_file("/tmp/loop", O_RDONLY, 0), -ELOOP);
    CHECK(stat_file("/tmp/loop"), 0);
    CHECK(CALL_LIBOS(symlink, USER("../etc"), USER("/tmp/link")), 0);
    CHECK(stat_file("/tmp/link/hosts"), 0);
    CHECK(stat_file("/tmp/link/"), 0);
    CHECK(status.mode & 0170000, 0040000);
    CHECK(open_file("/tmp/link", O_NOFOLLOW, 0), -ELOOP);
    CHECK(CALL_LIBOS(symlink, USER("link"), USER("/tmp/link2")), 0);
    CHECK(stat_file("/tmp/link2/"), 0);
    CHECK(CALL_LIBOS(unlink, USER("/tmp/link/")), -ENOTDIR);
    CHECK(CALL_LIBOS(unlink, USER("/tmp/link2")), 0);
    CHECK(CALL_LIBOS(symlink, USER("made"), USER("/tmp/dangling")), 0);
    CHECK(make_file("/tmp/dangling", "x"), 1);
    CHECK(content_is("/tmp/made", "x"), 1);
    CHECK(open_file("/tmp/dangling", O_CREAT | O_EXCL | O_WRONLY, 0600), -EEXIST);
    CHECK(open_file("/tmp/new/", O_CREAT | O_WRONLY, 0600), -EISDIR);
    CHECK(open_file("/etc", O_WRONLY, 0), -EISDIR);
    CHECK(open_file("/etc/hosts", O_DIRECTORY, 0), -ENOTDIR);
    int64_t directory = open_file("/etc", O_PATH, 0);
    CHECK(CALL_LIBOS(newfstatat, (uint64_t)directory, USER("hosts"), USER(&status), 0), 0);
    CHECK(CALL_LIBOS(newfstatat, (uint64_t)directory, USER(""), USER(&status), 0x1000), 0);
    CHECK(CALL_LIBOS(newfstatat, (uint64_t)directory, USER(""), USER(&status), 0), -ENOENT);
    CHECK(CALL_LIBOS(newfstatat, 77, USER("hosts"), USER(&status), 0), -EBADF);
    char byte;
    CHECK(CALL_LIBOS(read, (uint64_t)directory, USER(&byte), 1), -EBADF);
    CHECK(close_file(directory), 0);
}

void test_links_and_names(void)
{
    bool found;
    uint64_t inode;
    /* Hard links of the image stay one file, whichever name is used. */
    CHECK(stat_file("/bin/sh"), 0);
    inode = status.inode;
    CHECK(status.links, 2);
    CHECK(CALL_LIBOS(link, USER("/bin/sh"), USER("/bin/ash")), 0);
    CHECK(stat_file("/bin/busybox"), 0);
    CHECK(status.inode, inode);
    CHECK(status.links, 3);
    CHECK(CALL_LIBOS(unlink, USER("/bin/busybox")), 0);
    CHECK(stat_file("/bin/busybox"), -ENOENT);
    CHECK(stat_file("/bin/ash"), 0);
    CHECK(status.links, 2);
    CHECK(CALL_LIBOS(link, USER("/etc"), USER("/bin/etc")), -EPERM);
    CHECK(CALL_LIBOS(link, USER("/bin/sh"), USER("/bin/ash")), -EEXIST);

    CHECK(count_names("/deep", "er", &found), 3);
    CHECK(CALL_LIBOS(rmdir, USER("/deep/er")), -ENOTEMPTY);
    CHECK(CALL_LIBOS(rename, USER("/deep/er"), USER("/moved")), 0);
    CHECK(stat_file("/deep/er"), -ENOENT);
    CHECK(count_names("/deep", "er", &found), 2);
    CHECK(count_names("/moved", "\U0001f40e", &found), 4);
    CHECK(found, 1);
    CHECK(stat_file("/deep"), 0);
    CHECK(status.links, 2);
    /* The data of a moved file is still asked for by its path in the image. */
    char byte;
    int64_t descriptor = open_file("/moved/\U0001f40e", O_RDONLY, 0);
    CHECK(CALL_LIBOS(pread64, (uint64_t)descriptor, USER(&byte), 1, 4999), 1);
    close_file(descriptor);
    CHECK(CALL_LIBOS(mkdir, USER("/deep/er"), 0700), 0);
    CHECK(count_names("/deep/er", "", &found), 2);
    CHECK(CALL_LIBOS(rename, USER("/moved"), USER("/deep/er")), 0);
    CHECK(count_names("/deep/er", "", &found), 4);
    CHECK(CALL_LIBOS(rename, USER("/deep"), USER("/deep/er/below")), -EINVAL);
    CHECK(CALL_LIBOS(rename, USER("/etc/capable"), USER("/deep")), -EISDIR);
    CHECK(CALL_LIBOS(rename, USER("/deep"), USER("/etc/capable")), -ENOTDIR);
    CHECK(CALL_LIBOS(rename, USER("/etc/hosts"), USER("/etc/x")), -EBUSY); /* the host's lies over it */
    CHECK(CALL_LIBOS(rename, USER("/many"), USER("/deep")), -ENOTEMPTY);
    CHECK(CALL_LIBOS(renameat2, AT, USER("/etc/hosts"), AT, USER("/etc/hostname"), 1), -EEXIST);
    CHECK(CALL_LIBOS(rename, USER("/tmp/made"), USER("/dev/shm/made")), -EXDEV);

    CHECK(count_names("/many", "-7", &found), 802);
    CHECK(found, 1);
    CHECK(CALL_LIBOS(rmdir, USER("/many/-7")), 0);
    CHECK(count_names("/many", "-7", &found), 801);
    CHECK(found, 0);
    CHECK(make_file("/many/-7", "now a file"), 10);
    CHECK(count_names("/many", "-7", &found), 802);
    CHECK(stat_file("/many"), 0);
    CHECK(status.links, 401);
    CHECK(CALL_LIBOS(mkdir, USER("/many/-7"), 0700), -EEXIST);
    CHECK(CALL_LIBOS(rmdir, USER("/many/-7")), -ENOTDIR);
    CHECK(CALL_LIBOS(unlink, USER("/many/-8")), -EISDIR);
    CHECK(CALL_LIBOS(mkdir, USER("/many/x/"), 0700), 0);
    CHECK(CALL_LIBOS(rmdir, USER("/many/x/.")), -EINVAL);
    CHECK(CALL_LIBOS(unlinkat, AT, USER("/many/x"), AT_REMOVEDIR), 0);
    CHECK(CALL_LIBOS(rmdir, USER("/")), -EBUSY);
    CHECK(CALL_LIBOS(rmdir, USER("/proc")), -EBUSY);

    char path[64] = {0};
    CHECK(CALL_LIBOS(chdir, USER("/deep/er")), 0);
    CHECK(CALL_LIBOS(getcwd, USER(path), sizeof(path)), 9);
    CHECK(strcmp(path, "/deep/er"), 0);
    CHECK(CALL_LIBOS(getcwd, USER(path), 8), -ERANGE);
    CHECK(CALL_LIBOS(rename, USER("/deep"), USER("/shallow")), 0);
    CHECK(CALL_LIBOS(getcwd, USER(path), sizeof(path)), 12);
    CHECK(strcmp(path, "/shallow/er"), 0);
    CHECK(stat_file("../er"), 0);
    CHECK(CALL_LIBOS(chdir, USER("/etc/hosts")), -ENOTDIR);
    CHECK(CALL_LIBOS(mkdir, USER("/gone"), 0700), 0);
    CHECK(CALL_LIBOS(chdir, USER("/gone")), 0);
    CHECK(CALL_LIBOS(rmdir, USER("/gone")), 0);
    CHECK(CALL_LIBOS(getcwd, USER(path), sizeof(path)), -ENOENT);
    CHECK(make_file("x", ""), -ENOENT);
    CHECK(CALL_LIBOS(chdir, USER("/")), 0);

    CHECK(make_file("/tmp/open", "still here"), 10);
    descriptor = open_file("/tmp/open", O_RDONLY, 0);
    CHECK(CALL_LIBOS(unlink, USER("/tmp/open")), 0);
    CHECK(CALL_LIBOS(read, (uint64_t)descriptor, USER(path), sizeof(path)), 10);
    CHECK(CALL_LIBOS(fstat, (uint64_t)descriptor, USER(&status)), 0);
    CHECK(status.links, 0);
    close_file(descriptor);
}
