/* Calls about directories: their entries, the current one, what is mounted. */
#include "fs/call_support.h"
#include "fs/notify.h"

/* Entries go to a buffer of the LibOS first: the namespace lock is held while a directory is read. */
struct entry_buffer {
    uint8_t *bytes;
    size_t size;
    size_t used;
    uint64_t base;   /* added to cookies: `.` and `..` come first */
    uint64_t cookie; /* of the last entry that fitted */
    bool old_format; /* getdents: d_type stands in the last byte */
    bool full;
};

struct dirent_header {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
} __attribute__((packed));

static bool put_entry(void *context, struct name name, uint64_t number, uint32_t mode, uint64_t cookie)
{
    struct entry_buffer *buffer = context;
    size_t name_at = sizeof(struct dirent_header) + (buffer->old_format ? 0 : 1);
    size_t length = (name_at + name.length + 1 + (buffer->old_format ? 1 : 0) + 7) & ~(size_t)7;
    if (length > buffer->size - buffer->used) {
        buffer->full = true;
        return false;
    }
    uint8_t *entry = buffer->bytes + buffer->used;
    struct dirent_header header = {
        .inode = number, .offset = (int64_t)(cookie + buffer->base), .length = (uint16_t)length};
    memset(entry, 0, length);
    memcpy(entry, &header, sizeof(header));
    memcpy(entry + name_at, name.bytes, name.length);
    /* DT_* are the types of st_mode */
    entry[buffer->old_format ? length - 1 : sizeof(header)] = (uint8_t)(mode >> 12);
    buffer->used += length;
    buffer->cookie = cookie + buffer->base;
    return true;
}

#define DOT_COUNT 2U

static int64_t list_directory(struct inode *directory, uint64_t position, struct entry_buffer *buffer)
{
    if (directory->links == 0) {
        return -ENOENT; /* it was removed */
    }
    static const struct name dots[DOT_COUNT] = {{".", 1}, {"..", 2}};
    struct inode *parent = directory->parent ? directory->parent : directory;
    const uint64_t numbers[DOT_COUNT] = {directory->number, parent->number};
    for (; position < DOT_COUNT; position++) {
        if (!put_entry(buffer, dots[position], numbers[position], S_IFDIR, position + 1)) {
            return 0;
        }
    }
    buffer->base = DOT_COUNT;
    if (!directory->operations->list) {
        return 0;
    }
    return directory->operations->list(directory, position - DOT_COUNT, put_entry, buffer);
}

static int64_t list_file(struct file *file, user_address to, uint64_t size, bool old_format)
{
    struct entry_buffer buffer = {
        .size = size < PATH_BUFFER_SIZE * 8 ? (size_t)size : PATH_BUFFER_SIZE * 8, .old_format = old_format};
    buffer.bytes = buffer_take(&data_buffers);
    if (!buffer.bytes) {
        return -ENOMEM;
    }
    mutex_lock(&file->position_lock);
    buffer.cookie = file->position;
    namespace_lock();
    int64_t result = list_directory(file->inode, file->position, &buffer);
    namespace_unlock();
    if (result == 0) {
        result = buffer.used == 0 && buffer.full ? -EINVAL : (int64_t)buffer.used;
    }
    if (result > 0 && copy_to_user(to, buffer.bytes, buffer.used) < 0) {
        result = -EFAULT;
    }
    if (result > 0) {
        file->position = buffer.cookie;
    }
    mutex_unlock(&file->position_lock);
    buffer_give(&data_buffers, buffer.bytes);
    return result;
}

static int64_t list_call(const struct arguments *arguments, bool old_format)
{
    struct file *file = file_at(arguments, 0);
    if (!file) {
        return -EBADF;
    }
    int64_t result = !is_directory(file->inode)
                         ? -ENOTDIR
                         : list_file(file, arguments->at[1], (uint32_t)arguments->at[2], old_format);
    if (result >= 0) {
        notify_file(file, IN_ACCESS);
    }
    file_put(file);
    return result;
}

int64_t sys_getdents(const struct arguments *arguments)
{
    return list_call(arguments, true);
}

int64_t sys_getdents64(const struct arguments *arguments)
{
    return list_call(arguments, false);
}

#define UNREACHABLE "(unreachable)" /* prepend_path() of Linux */

/* Before a path that stands at the end of a buffer; its new length, or -ENAMETOOLONG. */
static int64_t mark_unreachable(char *path, size_t *start, int64_t length)
{
    size_t mark = strlen(UNREACHABLE);
    if (*start < mark) {
        return -ENAMETOOLONG;
    }
    *start -= mark;
    memcpy(path + *start, UNREACHABLE, mark);
    return length + (int64_t)mark;
}

int64_t sys_getcwd(const struct arguments *arguments)
{
    char *path = buffer_take(&path_buffers);
    size_t start = 0;
    if (!path) {
        return -ENOMEM;
    }
    namespace_lock();
    const struct inode *directory = current_whereabouts()->working_directory;
    int64_t result = path_of(directory, (struct name){0}, path, PATH_BUFFER_SIZE, &start);
    bool is_reachable = is_below_root_of_caller(directory);
    namespace_unlock();
    if (result >= 0 && !is_reachable) {
        result = mark_unreachable(path, &start, result);
    }
    if (result >= 0) {
        result += 1; /* the NUL counts */
        if ((uint64_t)result > arguments->at[1]) {
            result = -ERANGE;
        } else if (copy_to_user(arguments->at[0], path + start, (size_t)result) < 0) {
            result = -EFAULT;
        }
    }
    buffer_give(&path_buffers, path);
    return result;
}

/* The namespace lock is held. */
static int64_t change_directory(struct inode *inode)
{
    if (!is_directory(inode)) {
        return -ENOTDIR;
    }
    int64_t result = inode_access(inode, MAY_EXECUTE);
    if (result == 0) {
        set_working_directory(inode);
    }
    return result;
}

int64_t sys_chdir(const struct arguments *arguments)
{
    struct place place;
    int64_t result = at_begin(AT_FDCWD, arguments->at[0], WALK_FOLLOW, &place);
    if (result == 0) {
        result = change_directory(place.inode);
        at_end(&place);
    }
    return result;
}

int64_t sys_fchdir(const struct arguments *arguments)
{
    struct file *file = file_or_path_at(arguments, 0);
    if (!file) {
        return -EBADF;
    }
    namespace_lock();
    int64_t result = change_directory(file->inode);
    namespace_unlock();
    file_put(file);
    return result;
}

/* Linux looks at the directory first. */
int64_t sys_chroot(const struct arguments *arguments)
{
    struct place place;
    int64_t result = at_begin(AT_FDCWD, arguments->at[0], WALK_FOLLOW, &place);
    if (result < 0) {
        return result;
    }
    result = is_directory(place.inode) ? inode_access(place.inode, MAY_EXECUTE) : -ENOTDIR;
    if (result == 0 && !is_capable(CAP_SYS_CHROOT)) {
        result = -EPERM;
    }
    if (result == 0) {
        set_root(place.inode);
    }
    at_end(&place);
    return result;
}

static int64_t refuse(void)
{
    return -EPERM;
}

int64_t sys_mount(const struct arguments *arguments)
{
    (void)arguments;
    return refuse();
}

int64_t sys_umount2(const struct arguments *arguments)
{
    (void)arguments;
    return refuse();
}

int64_t sys_pivot_root(const struct arguments *arguments)
{
    (void)arguments;
    return refuse();
}
