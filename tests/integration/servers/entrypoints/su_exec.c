/* su-exec USER[:GROUP] COMMAND [ARGUMENT]...: as images of Alpine step down. Names and numbers; the groups of a name are its own, HOME follows. */
#define _GNU_SOURCE
#include <err.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long number(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);
    return *text && !*end ? value : -1;
}

int main(int count, char **words)
{
    if (count < 3) {
        errx(1, "usage: %s USER[:GROUP] COMMAND [ARGUMENT]...", words[0]);
    }
    char *user = words[1], *group = strchr(words[1], ':');
    if (group) {
        *group++ = '\0';
    }
    struct passwd *entry = number(user) < 0 ? getpwnam(user) : getpwuid((uid_t)number(user));
    if (!entry && number(user) < 0) {
        errx(1, "%s: no such user", user);
    }
    uid_t uid = entry ? entry->pw_uid : (uid_t)number(user);
    gid_t gid = entry ? entry->pw_gid : getgid();
    setenv("HOME", entry ? entry->pw_dir : "/", 1);
    if (group) {
        struct group *named = number(group) < 0 ? getgrnam(group) : NULL;
        if (!named && number(group) < 0) {
            errx(1, "%s: no such group", group);
        }
        gid = named ? named->gr_gid : (gid_t)number(group);
    }
    int failed = group || !entry ? setgroups(1, &gid) : initgroups(entry->pw_name, gid);
    if (failed || setgid(gid) || setuid(uid)) {
        err(1, "%s", user);
    }
    execvp(words[2], words + 2);
    err(1, "%s", words[2]);
}
