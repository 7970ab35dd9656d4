#include "fs/call_support.h"

int64_t path_from_user(user_address from, char **path)
{
    *path = buffer_take(&path_buffers);
    if (!*path) {
        return -ENOMEM;
    }
    int64_t result = strncpy_from_user(*path, from, PATH_BUFFER_SIZE);
    if (result < 0) {
        buffer_give(&path_buffers, *path);
        *path = NULL;
        return result;
    }
    return 0;
}

int64_t at_begin(int64_t descriptor, user_address from, uint32_t flags, struct place *place)
{
    char *path;
    struct inode *start;
    int64_t result = path_from_user(from, &path);
    if (result < 0) {
        return result;
    }
    result = *path == 0 && !(flags & WALK_EMPTY) ? -ENOENT : start_of(descriptor, path, &start); /* getname_flags() */
    if (result == 0) {
        namespace_lock();
        result = path_walk(start, path, flags, place);
        if (result < 0) {
            namespace_unlock();
        }
        inode_put(start);
    }
    buffer_give(&path_buffers, path);
    return result;
}

void at_end(struct place *place)
{
    place_release(place);
    namespace_unlock();
}

int64_t install(struct file *file, bool close_on_exec)
{
    int64_t result = descriptor_add(file, 0, close_on_exec);
    if (result < 0) {
        file_put(file);
    }
    return result;
}

int64_t install_two(struct file *files[2], bool close_on_exec, user_address to)
{
    struct descriptor_slot slots[2];
    int32_t numbers[2];
    int64_t result = 0;
    uint32_t count = 0;
    while (count < ARRAY_LENGTH(slots) && (result = descriptor_reserve(&slots[count], close_on_exec)) == 0) {
        numbers[count] = (int32_t)slots[count].number;
        count++;
    }
    result = result < 0 ? result : copy_to_user(to, numbers, sizeof(numbers));
    bool is_refused = result < 0;
    for (uint32_t at = 0; at < count; at++) {
        int64_t filled = descriptor_fill(&slots[at], is_refused ? result : 0, files[at]);
        result = filled < 0 ? filled : result;
    }
    for (uint32_t at = 0; at < ARRAY_LENGTH(slots) && is_refused; at++) {
        file_put(files[at]);
    }
    return result;
}

int64_t optional_timeout(uint64_t *timeout_ns, user_address from)
{
    *timeout_ns = NO_TIMEOUT;
    return from == 0 ? 0 : timeout_from_user(timeout_ns, from);
}
