#define _GNU_SOURCE
#include "enclave_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hash.h"

#define MAX_DEPTH 8 /* enclavize/rune/enclave_folder.py admits no deeper ones */
#define PATH_SIZE 4096

struct tree {
    struct json files, links, unlisted;
    size_t files_found, links_found;
};

static size_t count_entries(struct json map)
{
    struct json key, value;
    size_t count = 0;
    while (json_entry(&map, &key, &value) == JSON_FOUND)
        count++;
    return count;
}

/* Compare [mode, size, hex], as Python's json writes it. */
static bool is_known_file(struct tree *tree, int folder, const char *name, const char *path, mode_t mode)
{
    char hex[HEX_SIZE], wanted[HEX_SIZE];
    struct json known, item[3];
    struct stat status;
    bool is_known = false;
    if (json_key(tree->files, path, &known) != JSON_FOUND || *known.at != '[')
        return false;
    for (int i = 0; i < 3; i++) {
        if (json_element(&known, &item[i]) != JSON_FOUND)
            return false;
    }
    int file = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return false;
    if (fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_mode == mode && json_number(item[0]) == (status.st_mode & 07777) &&
        json_number(item[1]) == status.st_size && json_string(item[2], wanted, sizeof(wanted)))
        is_known = hash_file(file, (uint64_t)status.st_size, hex) && strcmp(hex, wanted) == 0;
    close(file);
    tree->files_found += is_known;
    return is_known;
}

static bool is_known_link(struct tree *tree, int folder, const char *name, const char *path)
{
    char target[PATH_SIZE];
    struct json known;
    ssize_t length = readlinkat(folder, name, target, sizeof(target) - 1);
    if (length < 0 || json_key(tree->links, path, &known) != JSON_FOUND)
        return false;
    target[length] = 0;
    char *text = json_text(known);
    bool is_known = text && strcmp(text, target) == 0;
    tree->links_found += is_known;
    return is_known;
}

static bool folder_is_known(struct tree *tree, int folder, const char *above, int depth);

static bool entry_is_known(struct tree *tree, int folder, const char *name, const char *above, int depth)
{
    char path[PATH_SIZE];
    struct stat status;
    if ((size_t)snprintf(path, sizeof(path), "%s%s%s", above, *above ? "/" : "", name) >= sizeof(path))
        return false;
    if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    switch (status.st_mode & S_IFMT) {
    case S_IFREG:
        return is_known_file(tree, folder, name, path, status.st_mode);
    case S_IFLNK:
        return is_known_link(tree, folder, name, path);
    case S_IFDIR:
        break;
    default:
        return false;
    }
    int below = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return below >= 0 && folder_is_known(tree, below, path, depth + 1);
}

/* Names that must be known if they are there; nobody looks at others in this folder. Closes it. */
static bool names_are_known(struct tree *tree, int folder, const char *above, int depth, struct json names)
{
    struct json item;
    struct stat status;
    bool is_known = true;
    while (is_known && json_element(&names, &item) == JSON_FOUND) {
        char *name = json_text(item);
        is_known = name && !strchr(name, '/');
        if (is_known && fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
            is_known = entry_is_known(tree, folder, name, above, depth);
    }
    close(folder);
    return is_known;
}

/* Closes the folder. */
static bool folder_is_known(struct tree *tree, int folder, const char *above, int depth)
{
    struct dirent *entry;
    struct json names;
    if (json_key(tree->unlisted, above, &names) == JSON_FOUND)
        return names_are_known(tree, folder, above, depth, names);
    DIR *entries = fdopendir(folder);
    bool is_known = entries && depth <= MAX_DEPTH;
    while (is_known && (entry = readdir(entries))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            is_known = entry_is_known(tree, dirfd(entries), entry->d_name, above, depth);
    }
    if (entries)
        closedir(entries);
    else
        close(folder);
    return is_known;
}

bool tree_has_exactly(int folder, struct json files, struct json links, struct json unlisted)
{
    struct tree tree = {.files = files, .links = links, .unlisted = unlisted};
    int top = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return top >= 0 && folder_is_known(&tree, top, "", 0) && tree.files_found == count_entries(files) && tree.links_found == count_entries(links);
}
