#define _GNU_SOURCE
#include "plan_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "state_root.h"

#define DESCRIPTION "enclave.json"
#define DESCRIPTION_LIMIT (1 << 20) /* enclavize/tee/layout.py */
#define SLOTS 16                    /* plans of one image */
#define MAX_FILES 1024
#define NEW ".new-"
#define PATIENCE 60 /* seconds: whoever has not finished a file by then was killed */

#define DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define NAME_SIZE (HEX_SIZE + 16)

static bool is_own(int file, mode_t others)
{
    struct stat status;
    return fstat(file, &status) == 0 && status.st_uid == geteuid() && (status.st_mode & others) == 0;
}

/* Take a step down, which closes `folder`. The folder may be closed to `others` only. */
static int enter(int folder, const char *name, mode_t others)
{
    mkdirat(folder, name, 0700);
    int below = openat(folder, name, DIRECTORY);
    close(folder);
    if (below >= 0 && !is_own(below, others)) {
        close(below);
        return -1;
    }
    return below;
}

static int open_folder(void)
{
    const char *base = runtime_base();
    int folder = base ? open(base, DIRECTORY) : -1;
    if (folder >= 0 && !is_own(folder, S_IWGRP | S_IWOTH)) {
        close(folder);
        folder = -1;
    }
    folder = folder < 0 ? -1 : enter(folder, "rune", S_IWGRP | S_IWOTH);
    return folder < 0 ? -1 : enter(folder, "plans", S_IRWXG | S_IRWXO);
}

static bool read_key(int folder, char key[HEX_SIZE])
{
    struct stat status;
    int file = openat(folder, DESCRIPTION, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool done = file >= 0 && fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_size <= DESCRIPTION_LIMIT &&
                hash_file(file, (uint64_t)status.st_size, key);
    if (file >= 0)
        close(file);
    return done;
}

struct plan_store open_plan_store(int folder)
{
    struct plan_store store = {.folder = open_folder()};
    if (store.folder >= 0 && !read_key(folder, store.key)) {
        close(store.folder);
        store.folder = -1;
    }
    return store;
}

static void slot_name(const struct plan_store *store, int slot, char name[NAME_SIZE])
{
    snprintf(name, NAME_SIZE, "%s.%d", store->key, slot);
}

/* False with errno ENOENT: the slot is free. */
static bool read_slot(const struct plan_store *store, int slot, struct plan *plan)
{
    char name[NAME_SIZE];
    struct stat status;
    struct json text;
    slot_name(store, slot, name);
    int file = openat(store->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return false;
    bool done = is_own(file, S_IRWXG | S_IRWXO) && fstat(file, &status) == 0 && status.st_nlink == 1 && map_descriptor(file, &text) &&
                read_plan(text, plan) && *plan->holds.at == '{';
    close(file);
    errno = 0;
    return done;
}

bool find_plan(struct plan_store *store, const struct place *place, struct plan *plan)
{
    bool has_slot = false;
    store->slot = (int)((unsigned)getpid() % SLOTS);
    for (int slot = 0; store->folder >= 0 && slot < SLOTS; slot++) {
        bool is_read = read_slot(store, slot, plan), is_free = !is_read && errno == ENOENT;
        bool fits = is_read && plan_fits(plan, place->config);
        if (fits && plan_holds(plan, place))
            return true;
        if (!has_slot && (!is_read || (fits && !plan_is_current(plan, place)))) { /* of no use any more, or never been */
            store->slot = slot;
            has_slot = true;
        }
        if (is_free)
            return false;
    }
    return false;
}

void lock_plan_store(const struct plan_store *store)
{
    char name[NAME_SIZE];
    if (store->folder < 0)
        return;
    snprintf(name, sizeof(name), "%s.lock", store->key);
    int file = openat(store->folder, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600); /* closed when rune becomes runc, or ends */
    if (file >= 0)
        flock(file, LOCK_EX);
}

static bool is_given_up(const char *name, const struct stat *status)
{
    return strncmp(name, NEW, strlen(NEW)) == 0 && status->st_mtim.tv_sec + PATIENCE < time(NULL);
}

/* Remove the oldest file where there are too many, and what was given up. False: there were not. */
static bool drop_oldest(int folder)
{
    char oldest[NAME_MAX + 1] = "";
    struct timespec age = {0};
    struct stat status;
    struct dirent *entry;
    size_t count = 0;
    int again = openat(folder, ".", DIRECTORY);
    DIR *entries = again < 0 ? NULL : fdopendir(again);
    while (entries && (entry = readdir(entries))) {
        if (fstatat(folder, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode))
            continue;
        if (is_given_up(entry->d_name, &status)) {
            unlinkat(folder, entry->d_name, 0);
            continue;
        }
        if (count++ == 0 || status.st_mtim.tv_sec < age.tv_sec ||
            (status.st_mtim.tv_sec == age.tv_sec && status.st_mtim.tv_nsec < age.tv_nsec)) {
            age = status.st_mtim;
            snprintf(oldest, sizeof(oldest), "%s", entry->d_name);
        }
    }
    if (entries)
        closedir(entries);
    return count > MAX_FILES && unlinkat(folder, oldest, 0) == 0;
}

void save_plan(const struct plan_store *store, struct json text)
{
    char name[NAME_SIZE], temporary[NAME_SIZE];
    if (store->folder < 0)
        return;
    slot_name(store, store->slot, name);
    snprintf(temporary, sizeof(temporary), NEW "%ld", (long)getpid());
    if (!write_file(store->folder, temporary, text, 0600) || renameat(store->folder, temporary, store->folder, name) != 0)
        unlinkat(store->folder, temporary, 0); /* the next container gets a plan of its own */
    while (drop_oldest(store->folder))
        continue;
}
