/*
 * Handles of files: name_to_handle_at(2). Files in memory have them, those of overlay file systems have none, nor have volumes, of which only the host
 * could say whether a number is of the same file for ever. Nobody opens one: that wants CAP_DAC_READ_SEARCH.
 */
#include "fs/call_support.h"
#include "fs/tree.h"

#define HANDLE_SIZE_MAX 128U /* MAX_HANDLE_SZ */
#define TYPE_OF_MEMORY 1     /* shmem_encode_fh() of Linux */

struct handle_header {
    uint32_t size;
    int32_t type;
};

struct handle {
    struct handle_header header;
    uint32_t generation, number_low, number_high;
};

struct found {
    uint64_t number;
    int32_t mount;
};

static int64_t find(const struct arguments *arguments, struct found *found)
{
    struct place place;
    uint32_t flags = (uint32_t)arguments->at[4];
    uint32_t walk = ((flags & AT_SYMLINK_FOLLOW) ? WALK_FOLLOW : 0) | ((flags & AT_EMPTY_PATH) ? WALK_EMPTY : 0);
    int64_t result = at_begin((int32_t)arguments->at[0], arguments->at[1], walk, &place);
    if (result < 0) {
        return result;
    }
    *found = (struct found){.number = place.inode->number, .mount = (int32_t)mount_number(place.inode, place.parent)};
    result = place.inode->file_system == &memory_file_system ? 0 : -EOPNOTSUPP;
    at_end(&place);
    return result;
}

/* do_sys_name_to_handle() of Linux. A handle that has no room is told how much that would be. */
int64_t sys_name_to_handle_at(const struct arguments *arguments)
{
    struct found found;
    struct handle handle;
    user_address to = arguments->at[2];
    if ((arguments->at[4] & ~(uint64_t)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) != 0) {
        return -EINVAL;
    }
    int64_t result = find(arguments, &found);
    if (result < 0) {
        return result;
    }
    if (copy_from_user(&handle.header, to, sizeof(handle.header)) < 0) {
        return -EFAULT;
    }
    if (handle.header.size > HANDLE_SIZE_MAX) {
        return -EINVAL;
    }
    bool has_room = handle.header.size >= sizeof(handle) - sizeof(handle.header);
    handle = (struct handle){
        .header = {.size = sizeof(handle) - sizeof(handle.header), .type = has_room ? TYPE_OF_MEMORY : 255}, /* FILEID_INVALID */
        .number_low = (uint32_t)found.number, .number_high = (uint32_t)(found.number >> 32),
    };
    if (copy_to_user(arguments->at[3], &found.mount, sizeof(found.mount)) < 0 ||
        copy_to_user(to, &handle, has_room ? sizeof(handle) : sizeof(handle.header)) < 0) {
        return -EFAULT;
    }
    return has_room ? 0 : -EOVERFLOW;
}

int64_t sys_open_by_handle_at(const struct arguments *arguments)
{
    (void)arguments;
    return -EPERM;
}
