/*
 * The quota of control groups: cpu.max of version 2 ("max" or a quota, and a period, in microseconds), cpu.cfs_quota_us and cpu.cfs_period_us of
 * version 1, of the group of this process and of all above it (Linux, Documentation/admin-guide/cgroup-v2.rst; Documentation/scheduler/sched-bwc.rst).
 */
#define _GNU_SOURCE
#include "processors.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROCESSORS_MAX 8192U /* of the mask: NR_CPUS of x86-64 */

/* The group of this process within its hierarchy, and where that is mounted. */
struct group {
    bool is_unified;
    char path[PATH_MAX];
    char mount[PATH_MAX];
};

static uint32_t count_affinity(void)
{
    cpu_set_t *set = CPU_ALLOC(PROCESSORS_MAX);
    size_t size = CPU_ALLOC_SIZE(PROCESSORS_MAX);
    int count = set && sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 1;
    CPU_FREE(set);
    return count > 0 ? (uint32_t)count : 1;
}

/* Is `word` one of a list with commas? */
static bool lists(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; at; at = strchr(at, ','), at += at != NULL) {
        if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0')) {
            return true;
        }
    }
    return false;
}

/* A line of /proc/self/cgroup: "number:controllers:path"; that of version 2 is "0::path". */
static bool read_group_line(char *line, bool unified, char path[PATH_MAX])
{
    char *controllers = strchr(line, ':');
    char *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group) {
        return false;
    }
    *group++ = '\0';
    bool matches = unified ? controllers[1] == '\0' : lists(controllers + 1, "cpu");
    if (!matches || strlen(group) >= PATH_MAX) {
        return false;
    }
    strcpy(path, group);
    return true;
}

/* A line of /proc/self/mountinfo (proc(5)): number, parent, device, root, mount point, options, tags, "-", type, source, options. */
static bool read_mount_line(const char *line, struct group *group)
{
    static char root[PATH_MAX], mount[PATH_MAX], type[64], options[PATH_MAX];
    const char *rest = strstr(line, " - ");
    bool read = rest && sscanf(line, "%*s %*s %*s %4095s %4095s", root, mount) == 2 &&
                sscanf(rest, " - %63s %*s %4095s", type, options) == 2;
    if (!read || (group->is_unified ? strcmp(type, "cgroup2") != 0 : strcmp(type, "cgroup") != 0 || !lists(options, "cpu"))) {
        return false;
    }
    size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);
    bool is_below = strncmp(group->path, root, length) == 0 && (group->path[length] == '/' || group->path[length] == '\0');
    if (is_below) { /* else the group lies outside of what is mounted: the mount itself counts */
        memmove(group->path, group->path + length, strlen(group->path + length) + 1);
    } else {
        group->path[0] = '\0';
    }
    strcpy(group->mount, mount);
    return true;
}

static bool find_line(const char *file, bool (*matches)(char *line, struct group *group), struct group *group)
{
    FILE *stream = fopen(file, "re");
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    while (stream && !found && getline(&line, &size, stream) > 0) {
        line[strcspn(line, "\n")] = '\0';
        found = matches(line, group);
    }
    free(line);
    if (stream) {
        fclose(stream);
    }
    return found;
}

static bool is_group(char *line, struct group *group)
{
    return read_group_line(line, group->is_unified, group->path);
}

static bool is_mount(char *line, struct group *group)
{
    return read_mount_line(line, group);
}

static bool read_text(const struct group *group, const char *name, char *text, size_t size)
{
    char path[2 * PATH_MAX + 32];
    snprintf(path, sizeof path, "%s%s/%s", group->mount, group->path, name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file >= 0 ? read(file, text, size - 1) : -1;
    if (file >= 0) {
        close(file);
    }
    text[got > 0 ? got : 0] = '\0';
    return got > 0;
}

/* Whole processors of one group's quota, rounded up; UINT32_MAX: no limit. */
static uint32_t quota_of(const struct group *group)
{
    long long quota = -1, period = -1;
    char text[64];
    if (group->is_unified) {
        if (!read_text(group, "cpu.max", text, sizeof text) || sscanf(text, "%lld %lld", &quota, &period) != 2) {
            return UINT32_MAX;
        }
    } else {
        quota = read_text(group, "cpu.cfs_quota_us", text, sizeof text) ? atoll(text) : -1;
        period = read_text(group, "cpu.cfs_period_us", text, sizeof text) ? atoll(text) : -1;
    }
    if (quota <= 0 || period <= 0) {
        return UINT32_MAX;
    }
    long long count = quota / period + (quota % period != 0);
    return count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
}

/* The least of the group and all above it. */
static uint32_t quota_of_hierarchy(bool unified)
{
    static struct group group;
    group = (struct group){.is_unified = unified};
    uint32_t least = UINT32_MAX;
    if (!find_line("/proc/self/cgroup", is_group, &group) || !find_line("/proc/self/mountinfo", is_mount, &group)) {
        return least;
    }
    for (char *end = group.path; end;) {
        uint32_t count = quota_of(&group);
        least = count < least ? count : least;
        end = strrchr(group.path, '/');
        if (end) {
            *end = '\0';
        }
    }
    return least;
}

uint32_t processors_allowed(void)
{
    uint32_t count = count_affinity(), unified = quota_of_hierarchy(true), split = quota_of_hierarchy(false);
    count = unified < count ? unified : count;
    return split < count ? split : count;
}
