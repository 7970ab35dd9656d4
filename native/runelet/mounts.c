#define _GNU_SOURCE
#include "mounts.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "volumes.h"

#define LIST_SIZE 1024

/* What engines mount by themselves, and what the LibOS has of its own. Secrets that somebody asked for are mounted below /run: those are named. */
static const char *const standard_trees[] = {"/proc", "/sys", "/dev", "/tmp", "/.enclave"};
static const char *const standard_mounts[] = {"/run", "/var/run", "/run/.containerenv", "/etc/hosts", "/etc/hostname",
                                              "/etc/resolv.conf", "/etc/mtab", "/var/tmp",
                                              /* --init */ "/sbin/docker-init", "/run/podman-init",
                                              /* every pod that does not refuse it: Kubernetes, ServiceAccount admission */
                                              "/run/secrets/kubernetes.io/serviceaccount",
                                              "/var/run/secrets/kubernetes.io/serviceaccount"};

static bool is_standard(const char *path)
{
    for (size_t i = 0; i < sizeof(standard_trees) / sizeof(*standard_trees); i++) {
        size_t length = strlen(standard_trees[i]);
        if (strncmp(path, standard_trees[i], length) == 0 && (path[length] == 0 || path[length] == '/'))
            return true;
    }
    for (size_t i = 0; i < sizeof(standard_mounts) / sizeof(*standard_mounts); i++) {
        if (strcmp(path, standard_mounts[i]) == 0)
            return true;
    }
    return false;
}

/* proc_pid_mountinfo(5): blank, tab, newline and backslash stand as three octal digits behind a backslash. */
static void unescape(char *text)
{
    char *out = text;
    while (*text) {
        if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] && text[3]) {
            *out++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
            text += 4;
        } else {
            *out++ = *text++;
        }
    }
    *out = 0;
}

/* The mount point is the fifth field. NULL if the line is malformed, or the mount is not below `root`. */
static const char *mount_point(char *line, const char *root)
{
    char *rest = line, *field = NULL;
    for (int i = 0; i < 5; i++)
        field = strsep(&rest, " ");
    if (!field || !rest)
        return NULL;
    unescape(field);
    size_t length = strlen(root);
    while (length > 0 && root[length - 1] == '/')
        length--;
    if (strncmp(field, root, length) != 0 || field[length] != '/' || field[length + 1] == 0)
        return NULL;
    return field + length;
}

void warn_of_ignored_mounts(const char *root, const char *instance)
{
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    if (!mounts)
        return;
    struct volumes volumes = read_volumes(instance);
    char list[LIST_SIZE] = "", *line = NULL;
    size_t room = 0, used = 0, unnamed = 0;
    while (getline(&line, &room, mounts) > 0) {
        const char *path = mount_point(line, root);
        if (!path || is_standard(path) || is_volume(&volumes, path))
            continue;
        if (used + strlen(path) + 3 > sizeof(list))
            unnamed++;
        else
            used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", used ? ", " : "", path);
    }
    free(line);
    fclose(mounts);
    if (used > 0 && unnamed == 0)
        warning_message("mounts that the enclave does not see: %s; a build opens them with --volume", list);
    else if (used + unnamed > 0)
        warning_message("mounts that the enclave does not see: %s and %zu more; a build opens them with --volume", list, unnamed);
    free_volumes(&volumes);
}
