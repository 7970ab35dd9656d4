/*
 * Access lists: POSIX.1e ACLs as Linux has them (acl(5), fs/posix_acl.c).
 *
 * A list that is kept as a file's access list has a mask; one without says no more than the mode, which then takes its
 * place. What the mode tells too (the rights of the owner, of others, and the mask, which stands where the group's are)
 * is the mode's alone: so chmod(2) and stat(2) need not know of lists, and neither ever goes stale.
 */
#ifndef ENCLAVIZE_FS_ACCESS_LIST_H
#define ENCLAVIZE_FS_ACCESS_LIST_H

#include "fs/inode.h"

/* include/uapi/linux/posix_acl.h; in this order, those of users and groups any number of times. */
enum access_tag {
    ACCESS_OWNER = 1,
    ACCESS_USER = 2,
    ACCESS_OWNING_GROUP = 4,
    ACCESS_GROUP = 8,
    ACCESS_MASK = 16,
    ACCESS_OTHERS = 32
};
#define ACCESS_NOBODY UINT32_MAX /* the id of those that have none */

/* As in the attribute, behind its header (posix_acl_xattr.h), little-endian. */
struct access_entry {
    uint16_t tag;
    uint16_t rights; /* enum access */
    uint32_t id;
};
#define ACCESS_LIST_HEADER 4U /* u32: the version, 2 */

struct access_list {
    size_t count;
    struct access_entry entries[];
};

/* What an attribute says; *list is NULL if it has no entries. -EINVAL, -EOPNOTSUPP (another version), -ENOMEM. */
int64_t access_list_read(const void *value, size_t size, struct access_list **list);
/* NULL is fine. */
void access_list_release(struct access_list *list);
struct access_list *access_list_copy(const struct access_list *list);

/* The entries are those that there must be, in order: posix_acl_valid() of Linux. All below want it so. */
bool access_list_is_valid(const struct access_list *list);
bool access_list_has_mask(const struct access_list *list);
/* The nine bits that stat(2) shows. */
uint32_t access_list_mode(const struct access_list *list);

/* For who is not the owner: 0 or -EACCES. `list` is the inode's. */
int64_t access_list_permits(const struct access_list *list, const struct inode *inode, uint32_t wanted);

static inline size_t access_list_size(const struct access_list *list)
{
    return ACCESS_LIST_HEADER + list->count * sizeof(struct access_entry);
}
void access_list_write(const struct access_list *list, void *to);
/* With what the mode tells. */
void access_list_write_of(const struct access_list *list, uint32_t mode, void *to);

/* For getxattr(2), setxattr(2) and removexattr(2), which know the lists as attributes. */
bool is_access_list(const char *name, enum access_list_kind *kind);
/* The size; with room for it, *value is one that the caller releases. -EOPNOTSUPP: no lists are kept there. */
int64_t inode_get_access_list(const struct inode *inode, enum access_list_kind kind, void **value, uint64_t room);
/* Without a value it is removed. */
int64_t inode_set_access_list(struct inode *inode, enum access_list_kind kind, const void *value, size_t size);

#endif
