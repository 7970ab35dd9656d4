#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "enclave_tree.h"
#include "hash.h"
#include "json_edit.h"
#include "operation.h"
#include "plan.h"
#include "version.h"

#define PATH_SIZE 4096
#define MEMBERS 11 /* of `holds`: what this does not know may decide, too */
#define PAL_MOUNT_POINT "run" /* enclavize/rune/pal_folder.py */

static bool text_is(struct json value, const char *wanted)
{
    char *text = json_text(value);
    return text && strcmp(text, wanted) == 0;
}

/* {name: value or null} */
static bool environment_holds(struct json variables)
{
    struct json name, value;
    enum json_result found;
    while ((found = json_entry(&variables, &name, &value)) == JSON_FOUND) {
        char *text = json_text(name), *now = text ? getenv(text) : NULL;
        if (!text || (now ? !text_is(value, now) : !json_is_null(value)))
            return false;
    }
    return found == JSON_ABSENT;
}

/* {path: [permission bits, SHA-256 in hex], or null for one that is not there} */
static bool files_hold(struct json files)
{
    struct json name, value, mode, digest;
    enum json_result found;
    while ((found = json_entry(&files, &name, &value)) == JSON_FOUND) {
        char hex[HEX_SIZE], *path = json_text(name);
        struct stat status;
        int file = path ? open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
        if (file < 0) {
            if (!path || errno != ENOENT || !json_is_null(value))
                return false;
            continue;
        }
        bool holds = *value.at == '[' && json_element(&value, &mode) == JSON_FOUND && json_element(&value, &digest) == JSON_FOUND &&
                     fstat(file, &status) == 0 && S_ISREG(status.st_mode) && json_number(mode) == (status.st_mode & 07777) &&
                     hash_file(file, (uint64_t)status.st_size, hex) && text_is(digest, hex);
        close(file);
        if (!holds)
            return false;
    }
    return found == JSON_ABSENT;
}

/* {path: [major, minor], or null where there is no such device} */
static bool devices_hold(struct json devices)
{
    struct json name, value, major, minor;
    enum json_result found;
    while ((found = json_entry(&devices, &name, &value)) == JSON_FOUND) {
        char *path = json_text(name);
        struct stat status;
        if (!path)
            return false;
        bool is_there = stat(path, &status) == 0 && S_ISCHR(status.st_mode);
        bool is_known = *value.at == '[' && json_element(&value, &major) == JSON_FOUND && json_element(&value, &minor) == JSON_FOUND;
        if (is_there ? !is_known || json_number(major) != major(status.st_rdev) || json_number(minor) != minor(status.st_rdev)
                     : !json_is_null(value))
            return false;
    }
    return found == JSON_ABSENT;
}

/* The folder that a look begins at: "rootfs", "host", or the source of a mount by its number. */
static bool look_folder(struct json where, const struct place *place, char folder[PATH_SIZE])
{
    struct json mounts, mount, source;
    const char *prefix = "";
    char *text;
    if (json_equal(where, json_literal("\"rootfs\"")))
        return (size_t)snprintf(folder, PATH_SIZE, "%s", place->rootfs) < PATH_SIZE;
    if (json_equal(where, json_literal("\"host\""))) {
        folder[0] = 0;
        return true;
    }
    long long number = json_number(where);
    if (number < 0 || json_list_at(place->config, json_literal("[\"mounts\"]"), &mounts) != JSON_FOUND)
        return false;
    do {
        if (json_element(&mounts, &mount) != JSON_FOUND)
            return false;
    } while (number-- > 0);
    if (json_spelled(mount, "source", &source) != JSON_FOUND || !(text = json_text(source)))
        return false;
    if (*text != '/')
        prefix = place->bundle;
    return (size_t)snprintf(folder, PATH_SIZE, "%s%s%s", prefix, *prefix ? "/" : "", text) < PATH_SIZE;
}

/* [[folder, path, target of the link that is there, or null], ...]: what the mounts' destinations were resolved by. */
static bool looks_hold(struct json looks, const struct place *place)
{
    struct json look, where, below, target;
    enum json_result found;
    while ((found = json_element(&looks, &look)) == JSON_FOUND) {
        char folder[PATH_SIZE], path[2 * PATH_SIZE], now[PATH_SIZE], *name;
        if (*look.at != '[' || json_element(&look, &where) != JSON_FOUND || json_element(&look, &below) != JSON_FOUND ||
            json_element(&look, &target) != JSON_FOUND || !(name = json_text(below)) || !look_folder(where, place, folder) ||
            (size_t)snprintf(path, sizeof(path), "%s/%s", folder, name) >= sizeof(path))
            return false;
        ssize_t length = readlink(path, now, sizeof(now) - 1);
        if (length < 0) {
            if ((errno != EINVAL && errno != ENOENT && errno != ENOTDIR) || !json_is_null(target))
                return false;
            continue;
        }
        now[length] = 0;
        if (!text_is(target, now))
            return false;
    }
    return found == JSON_ABSENT;
}

/* What is at a path, by the names that plans have for it; NULL if that cannot be told. */
static const char *kind_of_place(const char *path, int flags)
{
    struct stat status;
    struct dirent *entry;
    if (fstatat(AT_FDCWD, path, &status, flags) != 0)
        return errno == ENOENT || errno == ENOTDIR ? "none" : NULL;
    if (!S_ISDIR(status.st_mode))
        return "other";
    DIR *entries = opendir(path);
    size_t count = 0;
    if (!entries)
        return NULL;
    while (count < 3 && (entry = readdir(entries))) /* with "." and ".." */
        count++;
    closedir(entries);
    return count < 3 ? "empty" : "folder";
}

static bool is_in_list(struct json list, const char *wanted)
{
    struct json item;
    while (json_element(&list, &item) == JSON_FOUND) {
        if (text_is(item, wanted))
            return true;
    }
    return false;
}

/* [[folder, path, kinds], ...]: one of the kinds is there. */
static bool places_hold(struct json places, const struct place *place)
{
    struct json item, where, below, kinds;
    enum json_result found;
    while ((found = json_element(&places, &item)) == JSON_FOUND) {
        char folder[PATH_SIZE], path[2 * PATH_SIZE], *name;
        if (*item.at != '[' || json_element(&item, &where) != JSON_FOUND || json_element(&item, &below) != JSON_FOUND ||
            json_element(&item, &kinds) != JSON_FOUND || *kinds.at != '[' || !(name = json_text(below)) || !look_folder(where, place, folder) ||
            (size_t)snprintf(path, sizeof(path), "%s/%s", folder, name) >= sizeof(path))
            return false;
        const char *kind = kind_of_place(path, *folder ? AT_SYMLINK_NOFOLLOW : 0);
        if (!kind || !is_in_list(kinds, kind))
            return false;
    }
    return found == JSON_ABSENT;
}

/* {folder: files}: nobody else can write to the folder, and it has these files and the mount point. */
static bool copies_hold(struct json copies)
{
    struct json name, files;
    enum json_result found;
    while ((found = json_entry(&copies, &name, &files)) == JSON_FOUND) {
        char *path = json_text(name);
        struct stat status, mount_point;
        int folder = path && *path == '/' ? open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
        if (folder < 0)
            return false;
        bool holds = *files.at == '{' && fstat(folder, &status) == 0 && status.st_uid == geteuid() && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0 &&
                     fstatat(folder, PAL_MOUNT_POINT, &mount_point, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(mount_point.st_mode) &&
                     tree_has_exactly(folder, files, json_literal("{}"), json_literal("{}"));
        close(folder);
        if (!holds)
            return false;
    }
    return found == JSON_ABSENT;
}

static bool member(const struct plan *plan, const char *name, struct json *value)
{
    return json_key(plan->holds, name, value) == JSON_FOUND;
}

static size_t count_members(struct json object)
{
    struct json key, value;
    size_t count = 0;
    while (json_entry(&object, &key, &value) == JSON_FOUND)
        count++;
    return count;
}

bool plan_is_current(const struct plan *plan, const struct place *place)
{
    struct json version, program, environment, devices, policy;
    return count_members(plan->holds) == MEMBERS && member(plan, "enclavize", &version) && text_is(version, VERSION) &&
           member(plan, "program", &program) && text_is(program, place->program) && member(plan, "environment", &environment) &&
           environment_holds(environment) && member(plan, "devices", &devices) && devices_hold(devices) && member(plan, "policy", &policy) &&
           files_hold(policy);
}

bool plan_holds(const struct plan *plan, const struct place *place)
{
    struct json looks, places, files, links, unlisted, copies;
    return plan_is_current(plan, place) && member(plan, "looks", &looks) && looks_hold(looks, place) && member(plan, "places", &places) &&
           places_hold(places, place) && member(plan, "copies", &copies) && copies_hold(copies) && member(plan, "files", &files) &&
           member(plan, "links", &links) && member(plan, "unlisted", &unlisted) && tree_has_exactly(place->folder, files, links, unlisted);
}
