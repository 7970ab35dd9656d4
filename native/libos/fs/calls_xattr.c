/* Extended attributes: those of the image can be read; none can be set. trusted.* is for the system alone. */
#include "fs/call_support.h"

static const struct {
    uint32_t prefix;
    const char *text;
} prefixes[] = {
    {EROFS_PREFIX_USER, "user."},
    {EROFS_PREFIX_ACL_ACCESS, "system.posix_acl_access"},
    {EROFS_PREFIX_ACL_DEFAULT, "system.posix_acl_default"},
    {EROFS_PREFIX_SECURITY, "security."},
};

/* The text of a prefix; NULL: the application must not see such xattrs. */
static const char *prefix_text(uint32_t prefix)
{
    for (size_t at = 0; at < ARRAY_LENGTH(prefixes); at++) {
        if (prefixes[at].prefix == prefix) {
            return prefixes[at].text;
        }
    }
    return NULL;
}

static bool has_name(const struct erofs_xattr *xattr, const char *name)
{
    const char *prefix = prefix_text(xattr->prefix);
    size_t length = prefix != NULL ? strlen(prefix) : 0;
    return prefix != NULL && strncmp(name, prefix, length) == 0 &&
           strlen(name + length) == xattr->name_length &&
           memcmp(name + length, xattr->name, xattr->name_length) == 0;
}

/* Copies the value to a buffer of the LibOS: the application's memory must wait until the lock is free. */
static int64_t get_locked(struct inode *inode, const char *name, void **value, uint64_t size)
{
    struct erofs_xattr xattr;
    uint64_t position = 0;
    if (inode->operations->next_xattr == NULL) {
        return -EOPNOTSUPP;
    }
    for (;;) {
        int64_t result = inode->operations->next_xattr(inode, &position, &xattr);
        if (result <= 0) {
            return result < 0 ? result : -ENODATA;
        }
        if (!has_name(&xattr, name)) {
            continue;
        }
        if (size == 0 || xattr.value_size == 0) {
            return xattr.value_size;
        }
        if (size < xattr.value_size) {
            return -ERANGE;
        }
        *value = allocate(xattr.value_size);
        if (*value == NULL) {
            return -ENOMEM;
        }
        result = erofs_xattr_value(&xattr, *value, xattr.value_size);
        if (result < 0) {
            release(*value, xattr.value_size);
            *value = NULL;
        }
        return result < 0 ? result : xattr.value_size;
    }
}

static int64_t list_locked(struct inode *inode, char **names, uint64_t size)
{
    struct erofs_xattr xattr;
    size_t total = 0, room = size < 65536 ? (size_t)size : 65536;
    if (inode->operations->next_xattr == NULL) {
        return 0;
    }
    if (room > 0 && (*names = allocate(room)) == NULL) {
        return -ENOMEM;
    }
    for (uint64_t position = 0;;) {
        int64_t result = inode->operations->next_xattr(inode, &position, &xattr);
        if (result <= 0) {
            return result < 0 ? result : (int64_t)total;
        }
        const char *prefix = prefix_text(xattr.prefix);
        if (prefix == NULL) {
            continue;
        }
        size_t length = strlen(prefix) + xattr.name_length + 1;
        if (room > 0) {
            if (length > room - total) {
                return -ERANGE;
            }
            memcpy(*names + total, prefix, strlen(prefix));
            memcpy(*names + total + strlen(prefix), xattr.name, xattr.name_length);
            (*names)[total + length - 1] = '\0';
        }
        total += length;
    }
}

/* Either by path or by descriptor: the inode, with a count. */
static int64_t find_inode(
    const struct arguments *arguments, bool by_descriptor, uint32_t walk, struct inode **inode)
{
    if (by_descriptor) {
        struct file *file = file_at(arguments, 0);
        if (file == NULL) {
            return -EBADF;
        }
        *inode = inode_get(file->inode);
        file_put(file);
        return 0;
    }
    struct place place;
    int64_t result = at_begin(AT_FDCWD, arguments->at[0], walk, &place);
    if (result == 0) {
        *inode = inode_get(place.inode);
        at_end(&place);
    }
    return result;
}

static int64_t get_call(const struct arguments *arguments, bool by_descriptor, uint32_t walk)
{
    struct inode *inode = NULL;
    char name[NAME_LENGTH_MAX + 1];
    void *value = NULL;
    int64_t result = strncpy_from_user(name, arguments->at[1], sizeof(name));
    if (result < 0) {
        return result == -ENAMETOOLONG ? -ERANGE : result;
    }
    result = find_inode(arguments, by_descriptor, walk, &inode);
    if (result < 0) {
        return result;
    }
    namespace_lock();
    result = get_locked(inode, name, &value, arguments->at[3]);
    namespace_unlock();
    inode_put(inode);
    size_t size = result > 0 ? (size_t)result : 0;
    if (value != NULL && copy_to_user(arguments->at[2], value, size) < 0) {
        result = -EFAULT;
    }
    release(value, size);
    return result;
}

static int64_t list_call(const struct arguments *arguments, bool by_descriptor, uint32_t walk)
{
    struct inode *inode = NULL;
    char *names = NULL;
    uint64_t size = arguments->at[2] < 65536 ? arguments->at[2] : 65536;
    int64_t result = find_inode(arguments, by_descriptor, walk, &inode);
    if (result < 0) {
        return result;
    }
    namespace_lock();
    result = list_locked(inode, &names, size);
    namespace_unlock();
    inode_put(inode);
    if (names != NULL && result > 0 && copy_to_user(arguments->at[1], names, (size_t)result) < 0) {
        result = -EFAULT;
    }
    release(names, (size_t)size);
    return result;
}

int64_t sys_getxattr(const struct arguments *arguments)
{
    return get_call(arguments, false, WALK_FOLLOW);
}

int64_t sys_lgetxattr(const struct arguments *arguments)
{
    return get_call(arguments, false, 0);
}

int64_t sys_fgetxattr(const struct arguments *arguments)
{
    return get_call(arguments, true, 0);
}

int64_t sys_listxattr(const struct arguments *arguments)
{
    return list_call(arguments, false, WALK_FOLLOW);
}

int64_t sys_llistxattr(const struct arguments *arguments)
{
    return list_call(arguments, false, 0);
}

int64_t sys_flistxattr(const struct arguments *arguments)
{
    return list_call(arguments, true, 0);
}
