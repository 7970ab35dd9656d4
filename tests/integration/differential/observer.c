/* Prints what a program sees of its image: arguments, environment, ids, working directory, and the whole tree.
 * Left out is what engines make themselves: /proc, /sys, /dev, their files in /etc, and what only they know. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

extern char **environ;

static const char *const engines_own[] = {
    "/proc", "/sys", "/dev", "/.dockerenv", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/mtab",
};
static char path[8192];

static void show(const char *text)
{
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        printf(byte > 32 && byte < 127 && byte != '\\' ? "%c" : "\\%03o", byte);
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void show_content(void)
{
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
    static unsigned char buffer[65536];
    ssize_t size = -1;
    int file = open(path, O_RDONLY);
    while (file >= 0 && (size = read(file, buffer, sizeof buffer)) > 0) {
        for (ssize_t at = 0; at < size; at++) {
            hash = (hash ^ buffer[at]) * 0x100000001b3;
        }
    }
    printf(size < 0 ? " unreadable" : " %016llx", (unsigned long long)hash);
    close(file);
}

static void show_file(const struct stat *status)
{
    printf("file %06o %u:%u ", status->st_mode, status->st_uid, status->st_gid);
    show(path[0] ? path : "/");
    if (S_ISREG(status->st_mode)) {
        printf(" size %lld links %u time %lld", (long long)status->st_size, (unsigned)status->st_nlink,
            (long long)status->st_mtime);
        show_content();
    } else if (S_ISLNK(status->st_mode)) {
        static char target[8192];
        ssize_t size = readlink(path, target, sizeof target - 1);
        target[size < 0 ? 0 : size] = '\0';
        printf(" -> ");
        show(target);
    } else if (S_ISCHR(status->st_mode) || S_ISBLK(status->st_mode)) {
        printf(" %u,%u", major(status->st_rdev), minor(status->st_rdev));
    }
    printf("\n");
}

static void walk(size_t length)
{
    for (size_t at = 0; at < sizeof engines_own / sizeof *engines_own; at++) {
        if (strcmp(path, engines_own[at]) == 0) {
            return;
        }
    }
    struct stat status;
    if (lstat(length ? path : "/", &status) != 0) {
        printf("cannot look at ");
        show(path);
        printf("\n");
        return;
    }
    show_file(&status);
    DIR *directory = S_ISDIR(status.st_mode) ? opendir(length ? path : "/") : NULL;
    if (directory == NULL) {
        return;
    }
    char **names = NULL;
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            names = realloc(names, (count + 1) * sizeof *names);
            names[count++] = strdup(entry->d_name);
        }
    }
    closedir(directory);
    qsort(names, count, sizeof *names, by_text);
    for (size_t at = 0; at < count; at++) {
        size_t more = (size_t)snprintf(path + length, sizeof path - length, "/%s", names[at]);
        walk(length + more);
        path[length] = '\0';
        free(names[at]);
    }
    free(names);
}

int main(int argc, char **argv)
{
    for (int at = 0; at < argc; at++) {
        printf("argument ");
        show(argv[at]);
        printf("\n");
    }
    size_t count = 0;
    while (environ[count]) {
        count++;
    }
    qsort(environ, count, sizeof *environ, by_text);
    for (size_t at = 0; at < count; at++) {
        if (strncmp(environ[at], "HOSTNAME=", 9) != 0) {
            printf("variable ");
            show(environ[at]);
            printf("\n");
        }
    }
    static char folder[8192];
    printf("folder %s\n", getcwd(folder, sizeof folder) ? folder : "unknown");
    gid_t groups[64];
    int group_count = getgroups(64, groups);
    printf("ids %u:%u %u:%u", getuid(), getgid(), geteuid(), getegid());
    for (int at = 0; at < group_count; at++) {
        printf(" %u", groups[at]);
    }
    printf("\n");
    walk(0);
    return 7;
}
