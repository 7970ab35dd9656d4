#include "fs/volume_xattr.h"

#include "boundary/boundary.h"
#include "fs/buffer.h"

_Static_assert(XATTR_LIST_MAX + XATTR_SIZE_MAX <= EXCHANGE_DATA_SIZE, "one of data_buffers holds the names and a value");

static bool is_user_name(const char *name, size_t length)
{
    size_t prefix = strlen(XATTR_USER);
    return length > prefix && length <= NAME_LENGTH_MAX && memcmp(name, XATTR_USER, prefix) == 0;
}

/* The next one in user.* of the host's list; `size` bytes of names, whose last one may be cut. False: that was all. */
static bool next_name(const char *names, size_t size, uint64_t *position, struct xattr *xattr)
{
    while (*position < size) {
        const char *name = names + *position, *end = memchr(name, '\0', size - *position);
        size_t length = !end ? 0 : (size_t)(end - name);
        *position = !end ? size : *position + length + 1;
        if (is_user_name(name, length)) {
            memcpy(xattr->name, name, length + 1);
            return true;
        }
    }
    return false;
}

/* Positions are those in the host's list. An attribute that somebody outside has just taken away is none. */
int64_t volume_next_xattr(struct inode *inode, uint64_t *position, struct xattr *xattr)
{
    const struct volume_inode *volume = volume_of(inode);
    if (volume->length == 0) {
        return -EIO; /* the host is asked by name */
    }
    char *names = buffer_take(&data_buffers);
    if (!names) {
        return -ENOMEM;
    }
    int64_t size = host_xattr_list(volume->path, volume->length, names, XATTR_LIST_MAX), result = size < 0 ? size : -ENODATA;
    while (result == -ENODATA && next_name(names, (size_t)size, position, xattr)) {
        result = host_xattr_get(volume->path, volume->length, xattr->name, names + XATTR_LIST_MAX, XATTR_SIZE_MAX);
        xattr->size = result < 0 ? 0 : (uint32_t)result;
    }
    buffer_give(&data_buffers, names);
    return result >= 0 ? 1 : result == -ENODATA ? 0 : result;
}

int64_t volume_read_xattr(struct inode *inode, const struct xattr *xattr, void *to)
{
    const struct volume_inode *volume = volume_of(inode);
    int64_t size = host_xattr_get(volume->path, volume->length, xattr->name, to, xattr->size);
    return size >= 0 && size != xattr->size ? -EIO : size; /* changed outside since it was found */
}

int64_t volume_set_xattr(struct inode *inode, const char *name, const void *value, size_t size, uint32_t flags)
{
    const struct volume_inode *volume = volume_of(inode);
    if (!is_user_name(name, strlen(name))) {
        return -EOPNOTSUPP;
    }
    if (volume->length == 0) {
        return -EIO;
    }
    return !value ? host_xattr_remove(volume->path, volume->length, name)
                         : host_xattr_set(volume->path, volume->length, name, value, size, flags);
}
