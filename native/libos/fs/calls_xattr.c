/* Extended attributes (xattr(7)). Values and names go through buffers of the LibOS: the application's memory must wait until
 * the namespace lock is free. */
#include "fs/access_list.h"
#include "fs/call_support.h"
#include "fs/notify.h"
#include "fs/xattr.h"

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* xattr_resolve_name() of Linux. */
static int64_t check_name(const char *name)
{
    static const char *const prefixes[] = {XATTR_USER, XATTR_SECURITY, XATTR_TRUSTED};
    for (size_t at = 0; at < ARRAY_LENGTH(prefixes); at++) {
        if (begins_with(name, prefixes[at])) {
            return name[strlen(prefixes[at])] == '\0' ? -EINVAL : 0;
        }
    }
    return -EOPNOTSUPP;
}

/* xattr_permission() of Linux. Nobody has CAP_SYS_ADMIN here, which trusted.* wants. */
static int64_t check_access(const struct inode *inode, const char *name, bool writes)
{
    if (begins_with(name, XATTR_TRUSTED)) {
        return writes ? -EPERM : -ENODATA;
    }
    if (begins_with(name, XATTR_SECURITY)) {
        return 0;
    }
    if (begins_with(name, XATTR_USER)) {
        if (!is_regular(inode) && !is_directory(inode)) {
            return writes ? -EPERM : -ENODATA;
        }
        if (writes && is_directory(inode) && (inode->mode & S_ISVTX) && !is_owner(inode)) {
            return -EPERM;
        }
    }
    return inode_access(inode, writes ? MAY_WRITE : MAY_READ);
}

/* What security modules and capabilities would mean is not here: as without CAP_SYS_ADMIN and CAP_SETFCAP. */
static int64_t check_change(const char *name)
{
    return begins_with(name, XATTR_SECURITY) ? -EPERM : 0;
}

static int64_t name_from_user(char name[NAME_LENGTH_MAX + 1], user_address from)
{
    int64_t result = strncpy_from_user(name, from, NAME_LENGTH_MAX + 1);
    if (result < 0) {
        return result == -ENAMETOOLONG ? -ERANGE : result;
    }
    return name[0] == '\0' ? -ERANGE : 0;
}

/* Either by path or by descriptor. The namespace lock is held until target_end(). */
struct target {
    struct inode *inode;
    struct file *file;
    struct place place;
};

static int64_t target_begin(struct target *target, const struct arguments *arguments, bool by_descriptor, uint32_t walk)
{
    *target = (struct target){0};
    if (!by_descriptor) {
        int64_t result = at_begin(AT_FDCWD, arguments->at[0], walk, &target->place);
        target->inode = target->place.inode;
        return result;
    }
    target->file = file_at(arguments, 0);
    if (!target->file) {
        return -EBADF;
    }
    namespace_lock();
    target->inode = target->file->inode;
    return 0;
}

static void target_end(struct target *target)
{
    if (target->file) {
        namespace_unlock();
        file_put(target->file);
    } else {
        at_end(&target->place);
    }
}

static int64_t find(struct inode *inode, const char *name, struct xattr *xattr)
{
    if (!inode->operations->next_xattr) {
        return -EOPNOTSUPP;
    }
    for (uint64_t position = 0;;) {
        int64_t result = inode->operations->next_xattr(inode, &position, xattr);
        if (result <= 0) {
            return result < 0 ? result : -ENODATA;
        }
        if (strcmp(xattr->name, name) == 0) {
            return 0;
        }
    }
}

/* The size of the value; with room for it, *value is one that the caller releases. */
static int64_t get_locked(struct inode *inode, const char *name, void **value, uint64_t room)
{
    struct xattr xattr;
    enum access_list_kind kind;
    if (is_access_list(name, &kind)) {
        return inode_get_access_list(inode, kind, value, room);
    }
    int64_t result = check_access(inode, name, false);
    if (result == 0 && (result = check_name(name)) == 0) {
        result = find(inode, name, &xattr);
    }
    if (result < 0 || room == 0 || xattr.size == 0) {
        return result < 0 ? result : xattr.size;
    }
    if (room < xattr.size) {
        return -ERANGE;
    }
    *value = allocate(xattr.size);
    if (!*value) {
        return -ENOMEM;
    }
    result = inode->operations->read_xattr(inode, &xattr, *value);
    if (result < 0) {
        release(*value, xattr.size);
        *value = NULL;
    }
    return result < 0 ? result : xattr.size;
}

/* Names, each with its NUL; room 0: only how long they are. */
struct name_list {
    char *names;
    size_t room, total;
};

static int64_t append(struct name_list *list, const char *name)
{
    size_t length = strlen(name) + 1;
    if (list->room > 0) {
        if (length > list->room - list->total) {
            return list->room == XATTR_LIST_MAX ? -E2BIG : -ERANGE;
        }
        memcpy(list->names + list->total, name, length);
    }
    list->total += length;
    return 0;
}

/* Before all others, as simple_xattr_list() of Linux has them. */
static int64_t append_access_lists(struct name_list *list, const struct inode *inode)
{
    static const char *const names[] = {XATTR_ACL_ACCESS, XATTR_ACL_DEFAULT};
    int64_t result = 0;
    for (size_t at = 0; at < ARRAY_LENGTH(names) && result == 0; at++) {
        enum access_list_kind kind;
        is_access_list(names[at], &kind);
        result = inode_get_access_list(inode, kind, NULL, 0);
        result = result > 0 ? append(list, names[at]) : result == -ENODATA || result == -EOPNOTSUPP ? 0 : result;
    }
    return result;
}

static int64_t list_locked(struct inode *inode, char *names, size_t room)
{
    struct xattr xattr;
    struct name_list list = {.names = names, .room = room};
    int64_t result = append_access_lists(&list, inode);
    for (uint64_t position = 0; result == 0 && inode->operations->next_xattr;) {
        result = inode->operations->next_xattr(inode, &position, &xattr);
        if (result <= 0) {
            break;
        }
        result = append(&list, xattr.name);
    }
    return result < 0 ? result : (int64_t)list.total;
}

static int64_t set_locked(struct inode *inode, const char *name, const void *value, size_t size, uint32_t flags)
{
    enum access_list_kind kind;
    if (is_access_list(name, &kind)) {
        return inode_set_access_list(inode, kind, value, size);
    }
    int64_t result = check_access(inode, name, true);
    if (result == 0 && (result = check_name(name)) == 0) {
        result = check_change(name);
    }
    if (result == 0 && !inode->operations->set_xattr) {
        result = -EOPNOTSUPP;
    }
    return result < 0 ? result : inode->operations->set_xattr(inode, name, value, size, flags);
}

static int64_t get_call(const struct arguments *arguments, bool by_descriptor, uint32_t walk)
{
    struct target target;
    char name[NAME_LENGTH_MAX + 1];
    void *value = NULL;
    int64_t result = name_from_user(name, arguments->at[1]);
    if (result < 0 || (result = target_begin(&target, arguments, by_descriptor, walk)) < 0) {
        return result;
    }
    result = get_locked(target.inode, name, &value, arguments->at[3]);
    target_end(&target);
    size_t size = result > 0 ? (size_t)result : 0;
    if (value && copy_to_user(arguments->at[2], value, size) < 0) {
        result = -EFAULT;
    }
    release(value, size);
    return result;
}

static int64_t list_call(const struct arguments *arguments, bool by_descriptor, uint32_t walk)
{
    struct target target;
    size_t room = arguments->at[2] < XATTR_LIST_MAX ? (size_t)arguments->at[2] : XATTR_LIST_MAX;
    char *names = room > 0 ? allocate(room) : NULL;
    if (room > 0 && !names) {
        return -ENOMEM;
    }
    int64_t result = target_begin(&target, arguments, by_descriptor, walk);
    if (result == 0) {
        result = list_locked(target.inode, names, room);
        target_end(&target);
    }
    if (names && result > 0 && copy_to_user(arguments->at[1], names, (size_t)result) < 0) {
        result = -EFAULT;
    }
    release(names, room);
    return result;
}

static int64_t change(const struct arguments *arguments, bool by_descriptor, uint32_t walk, const char *name,
    const void *value, size_t size, uint32_t flags)
{
    struct target target;
    int64_t result = target_begin(&target, arguments, by_descriptor, walk);
    if (result < 0) {
        return result;
    }
    result = set_locked(target.inode, name, value, size, flags);
    if (result == 0 && target.file) {
        notify_file_changed(target.file, IN_ATTRIB);
    } else if (result == 0) {
        notify_place(&target.place, IN_ATTRIB);
    }
    target_end(&target);
    return result;
}

static int64_t set_call(const struct arguments *arguments, bool by_descriptor, uint32_t walk)
{
    char name[NAME_LENGTH_MAX + 1];
    uint64_t size = arguments->at[3];
    uint32_t flags = (uint32_t)arguments->at[4];
    if ((flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE)) != 0) {
        return -EINVAL;
    }
    int64_t result = name_from_user(name, arguments->at[1]);
    if (result < 0) {
        return result;
    }
    if (size > XATTR_SIZE_MAX) {
        return -E2BIG;
    }
    void *value = allocate((size_t)size + 1); /* an empty value is one, too */
    if (!value) {
        return -ENOMEM;
    }
    result = size > 0 ? copy_from_user(value, arguments->at[2], (size_t)size) : 0;
    if (result == 0) {
        result = change(arguments, by_descriptor, walk, name, value, (size_t)size, flags);
    }
    release(value, (size_t)size + 1);
    return result;
}

static int64_t remove_call(const struct arguments *arguments, bool by_descriptor, uint32_t walk)
{
    char name[NAME_LENGTH_MAX + 1];
    int64_t result = name_from_user(name, arguments->at[1]);
    return result < 0 ? result : change(arguments, by_descriptor, walk, name, NULL, 0, 0);
}

/* Each call three times: by path, by path without following a link at its end, by descriptor. */
#define THREE_WAYS(call, handler)                                                                            \
    int64_t sys_##call(const struct arguments *arguments)                                                    \
    {                                                                                                        \
        return handler(arguments, false, WALK_FOLLOW);                                                       \
    }                                                                                                        \
    int64_t sys_l##call(const struct arguments *arguments)                                                   \
    {                                                                                                        \
        return handler(arguments, false, 0);                                                                 \
    }                                                                                                        \
    int64_t sys_f##call(const struct arguments *arguments)                                                   \
    {                                                                                                        \
        return handler(arguments, true, 0);                                                                  \
    }

THREE_WAYS(getxattr, get_call)
THREE_WAYS(setxattr, set_call)
THREE_WAYS(removexattr, remove_call)

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
