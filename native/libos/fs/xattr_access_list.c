/* Access lists as extended attributes: vfs_get_acl(), vfs_set_acl() and vfs_remove_acl() of Linux. */
#include "fs/access_list.h"
#include "fs/xattr.h"

bool is_access_list(const char *name, enum access_list_kind *kind)
{
    *kind = strcmp(name, XATTR_ACL_DEFAULT) == 0 ? DEFAULT_LIST : ACCESS_LIST;
    return *kind == DEFAULT_LIST || strcmp(name, XATTR_ACL_ACCESS) == 0;
}

static bool keeps_lists(const struct inode *inode)
{
    return inode->operations->access_list && !is_link(inode);
}

int64_t inode_get_access_list(const struct inode *inode, enum access_list_kind kind, void **value, uint64_t room)
{
    const struct access_list *list;
    if (!keeps_lists(inode)) {
        return -EOPNOTSUPP;
    }
    int64_t result = inode->operations->access_list(inode, kind, &list);
    if (result < 0 || !list) {
        return result < 0 ? result : -ENODATA;
    }
    size_t size = access_list_size(list);
    if (room > 0) {
        *value = size <= room ? allocate(size) : NULL;
        if (!*value) {
            return size <= room ? -ENOMEM : -ERANGE;
        }
        if (kind == ACCESS_LIST) {
            access_list_write_of(list, inode->mode, *value);
        } else {
            access_list_write(list, *value);
        }
    }
    return (int64_t)size;
}

/* Takes the list. One without a mask becomes the mode (posix_acl_update_mode() of Linux). */
static int64_t set(struct inode *inode, enum access_list_kind kind, struct access_list *list)
{
    uint32_t mode = inode->mode;
    if (kind == ACCESS_LIST) {
        mode = list ? (mode & ~0777U) | access_list_mode(list) : mode;
        mode &= is_in_group(inode->gid) || is_capable(CAP_FSETID) ? UINT32_MAX : ~S_ISGID;
        if (list && !access_list_has_mask(list)) {
            access_list_release(list);
            list = NULL;
        }
    }
    int64_t result = inode->operations->set_access_list(inode, kind, list);
    if (result < 0) {
        access_list_release(list);
        return result;
    }
    const struct attributes attributes = {.which = mode != inode->mode ? ATTRIBUTE_MODE : 0, .mode = mode};
    return inode->operations->change(inode, &attributes); /* the time of the change, too */
}

static int64_t may_set(const struct inode *inode, enum access_list_kind kind, const struct access_list *list)
{
    if (kind == DEFAULT_LIST && !is_directory(inode)) {
        return list ? -EACCES : 0;
    }
    if (!is_owner(inode)) {
        return -EPERM;
    }
    return list && !access_list_is_valid(list) ? -EINVAL : 0;
}

int64_t inode_set_access_list(struct inode *inode, enum access_list_kind kind, const void *value, size_t size)
{
    struct access_list *list = NULL;
    if (inode->file_system->read_only) {
        return -EROFS;
    }
    int64_t result = value && size > 0 ? access_list_read(value, size, &list) : 0;
    if (result == 0 && !keeps_lists(inode)) {
        result = -EOPNOTSUPP;
    }
    if (result == 0) {
        result = may_set(inode, kind, list);
    }
    if (result < 0 || (kind == DEFAULT_LIST && !is_directory(inode))) {
        access_list_release(list);
        return result;
    }
    return set(inode, kind, list);
}
