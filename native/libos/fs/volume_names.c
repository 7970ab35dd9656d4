#include "fs/volume_names.h"

static struct spinlock lock; /* of the list: the last count of an inode goes without the namespace lock */
static struct volume_inode *all;

static void set_path(struct volume_inode *volume, char *path, size_t length)
{
    release(volume->path, volume->length);
    volume->path = path;
    volume->length = length;
}

int64_t volume_names_set(struct volume_inode *volume, const char *path, size_t length)
{
    char *copy = allocate(length);
    if (!copy) {
        return -ENOMEM;
    }
    memcpy(copy, path, length);
    set_path(volume, copy, length);
    return 0;
}

int64_t volume_names_add(struct volume_inode *volume, const char *path, size_t length)
{
    int64_t result = volume_names_set(volume, path, length);
    if (result < 0) {
        return result;
    }
    spin_lock(&lock);
    volume->next = all;
    if (all) {
        all->previous = volume;
    }
    all = volume;
    spin_unlock(&lock);
    return 0;
}

void volume_names_remove(struct volume_inode *volume)
{
    spin_lock(&lock);
    if (volume->next) {
        volume->next->previous = volume->previous;
    }
    if (volume->previous) {
        volume->previous->next = volume->next;
    } else if (all == volume) {
        all = volume->next;
    }
    spin_unlock(&lock);
    set_path(volume, NULL, 0);
}

/* Of the name itself, or of one below it. */
static bool begins(const struct volume_inode *volume, const char *path, size_t length, bool also_below)
{
    bool is_it = volume->length == length;
    bool is_below = also_below && volume->length > length && volume->path[length] == '/';
    return (is_it || is_below) && memcmp(volume->path, path, length) == 0;
}

/* One more count, unless the last one is just going. */
static bool get_alive(struct inode *inode)
{
    uint32_t count = __atomic_load_n(&inode->references, __ATOMIC_RELAXED);
    while (count != 0) {
        if (__atomic_compare_exchange_n(
                &inode->references, &count, count + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            return true;
        }
    }
    return false;
}

/* With one more count, or NULL. */
static struct volume_inode *find(const struct file_system *file_system, const char *path, size_t length, bool also_below)
{
    spin_lock(&lock);
    struct volume_inode *volume = all;
    while (volume && (volume->inode.file_system != file_system || !begins(volume, path, length, also_below) ||
                                 !get_alive(&volume->inode))) {
        volume = volume->next;
    }
    spin_unlock(&lock);
    return volume;
}

static struct volume_inode *find_number(const struct file_system *file_system, uint32_t type, uint64_t number)
{
    spin_lock(&lock);
    struct volume_inode *volume = all;
    while (volume && (volume->inode.file_system != file_system || volume->inode.number != number || volume->is_replaced ||
                                 (volume->inode.mode & S_IFMT) != type || !get_alive(&volume->inode))) {
        volume = volume->next;
    }
    spin_unlock(&lock);
    return volume;
}

struct volume_inode *volume_names_meet(const struct file_system *file_system, const struct host_stat *stat, bool is_new)
{
    struct volume_inode *volume =
        is_meeting_place(stat->mode) ? find_number(file_system, stat->mode & S_IFMT, stat->inode) : NULL;
    if (volume && is_new) {
        volume->is_replaced = true;
        inode_put(&volume->inode);
        return NULL;
    }
    return volume;
}

void volume_names_forget(const struct file_system *file_system, const char *path, size_t length)
{
    struct volume_inode *volume;
    while ((volume = find(file_system, path, length, false))) {
        set_path(volume, NULL, 0);
        inode_put(&volume->inode);
    }
}

static void move(struct volume_inode *volume, size_t from_length, const char *to, size_t to_length)
{
    size_t rest = volume->length - from_length;
    char *path = allocate(to_length + rest);
    if (path) {
        memcpy(path, to, to_length);
        memcpy(path + to_length, volume->path + from_length, rest);
    }
    set_path(volume, path, path ? to_length + rest : 0);
}

void volume_names_move(const struct file_system *file_system, const char *from, size_t from_length, struct inode *to,
    struct name to_name, const char *to_path, size_t to_length)
{
    struct volume_inode *volume;
    while ((volume = find(file_system, from, from_length, true))) {
        bool is_placed = is_directory(&volume->inode) && volume->length == from_length;
        move(volume, from_length, to_path, to_length);
        if (is_placed && inode_place(&volume->inode, to, to_name) < 0) {
            set_path(volume, NULL, 0);
        }
        inode_put(&volume->inode);
    }
}
