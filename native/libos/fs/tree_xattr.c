#include "fs/tree_xattr.h"

/* In the order of names. */
struct tree_xattr {
    struct tree_xattr *next;
    size_t name_length;
    size_t size;
    char bytes[]; /* the name, then the value */
};

static const struct {
    uint32_t prefix;
    const char *text;
} prefixes[] = {
    {EROFS_PREFIX_USER, XATTR_USER},
    {EROFS_PREFIX_SECURITY, XATTR_SECURITY},
};

/* The text of a prefix; NULL: the application must not see such attributes here. trusted.* tells how the
 * image is made; access lists are kept apart (tree_access_list.c). */
static const char *prefix_text(uint32_t prefix)
{
    for (size_t at = 0; at < ARRAY_LENGTH(prefixes); at++) {
        if (prefixes[at].prefix == prefix) {
            return prefixes[at].text;
        }
    }
    return NULL;
}

static int64_t next_lower(const struct node *node, uint64_t *position, struct xattr *xattr)
{
    for (;;) {
        int64_t result = erofs_next_xattr(&node->lower, position, &xattr->lower);
        const char *prefix = result > 0 ? prefix_text(xattr->lower.prefix) : NULL;
        if (result > 0 && (!prefix || strlen(prefix) + xattr->lower.name_length > NAME_LENGTH_MAX)) {
            continue;
        }
        if (result > 0) {
            size_t length = strlen(prefix);
            memcpy(xattr->name, prefix, length);
            memcpy(xattr->name + length, xattr->lower.name, xattr->lower.name_length + 1);
            xattr->size = xattr->lower.value_size;
            xattr->value = NULL;
        }
        return result;
    }
}

static int64_t next_own(const struct node *node, uint64_t *position, struct xattr *xattr)
{
    const struct tree_xattr *own = node->xattrs;
    for (uint64_t at = 0; at < *position && own; at++) {
        own = own->next;
    }
    if (!own) {
        return 0;
    }
    memcpy(xattr->name, own->bytes, own->name_length);
    xattr->name[own->name_length] = '\0';
    xattr->size = (uint32_t)own->size;
    xattr->value = own->bytes + own->name_length;
    ++*position;
    return 1;
}

int64_t tree_next_xattr(struct inode *inode, uint64_t *position, struct xattr *xattr)
{
    const struct node *node = node_of(inode);
    return node->has_lower && !node->has_own_xattrs ? next_lower(node, position, xattr)
                                                    : next_own(node, position, xattr);
}

int64_t tree_read_xattr(struct inode *inode, const struct xattr *xattr, void *to)
{
    (void)inode;
    if (!xattr->value) {
        return erofs_xattr_value(&xattr->lower, to, xattr->size);
    }
    memcpy(to, xattr->value, xattr->size);
    return xattr->size;
}

static void release_xattr(struct tree_xattr *xattr)
{
    release(xattr, sizeof(struct tree_xattr) + xattr->name_length + xattr->size);
}

static void release_all(struct tree_xattr *first)
{
    for (struct tree_xattr *next; first; first = next) {
        next = first->next;
        release_xattr(first);
    }
}

void tree_xattrs_destroy(struct node *node)
{
    release_all(node->xattrs);
}

static struct tree_xattr *make_xattr(const char *name, size_t size)
{
    size_t length = strlen(name);
    struct tree_xattr *xattr = allocate(sizeof(struct tree_xattr) + length + size);
    if (xattr) {
        xattr->name_length = length;
        xattr->size = size;
        memcpy(xattr->bytes, name, length);
    }
    return xattr;
}

static int compare(const struct tree_xattr *xattr, const char *name)
{
    size_t length = strlen(name);
    size_t common = length < xattr->name_length ? length : xattr->name_length;
    int order = memcmp(xattr->bytes, name, common);
    return order != 0 ? order : (xattr->name_length > length) - (xattr->name_length < length);
}

/* Where it is, or where it would be. */
static struct tree_xattr **find(struct tree_xattr **first, const char *name)
{
    while (*first && compare(*first, name) < 0) {
        first = &(*first)->next;
    }
    return first;
}

static bool is_there(struct tree_xattr *const *link, const char *name)
{
    return *link && compare(*link, name) == 0;
}

static void insert(struct tree_xattr **link, struct tree_xattr *xattr)
{
    xattr->next = *link;
    *link = xattr;
}

/* From now on the image's are not looked at. */
static int64_t copy_up(struct node *node)
{
    struct xattr lower;
    struct tree_xattr *copies = NULL;
    int64_t result = 0;
    if (!node->has_lower || node->has_own_xattrs) {
        return 0;
    }
    for (uint64_t position = 0; (result = next_lower(node, &position, &lower)) > 0;) {
        struct tree_xattr *copy = make_xattr(lower.name, lower.size);
        result = !copy ? -ENOSPC : tree_read_xattr(&node->inode, &lower, copy->bytes + copy->name_length);
        if (result < 0) {
            if (copy) {
                release_xattr(copy);
            }
            break;
        }
        insert(find(&copies, lower.name), copy);
    }
    if (result < 0) {
        release_all(copies);
        return result;
    }
    node->xattrs = copies;
    node->has_own_xattrs = true;
    return 0;
}

int64_t tree_set_xattr(struct inode *inode, const char *name, const void *value, size_t size, uint32_t flags)
{
    struct node *node = node_of(inode);
    int64_t result = copy_up(node);
    if (result < 0) {
        return result;
    }
    struct tree_xattr **link = find(&node->xattrs, name), *old = is_there(link, name) ? *link : NULL, *fresh = NULL;
    if (old && (flags & XATTR_CREATE)) {
        return -EEXIST;
    }
    if (!old && (!value || (flags & XATTR_REPLACE))) {
        return -ENODATA;
    }
    if (value) {
        fresh = make_xattr(name, size);
        if (!fresh) {
            return -ENOSPC;
        }
        memcpy(fresh->bytes + fresh->name_length, value, size);
    }
    if (old) {
        *link = old->next;
        release_xattr(old);
    }
    if (fresh) {
        insert(link, fresh);
    }
    inode->ctime = time_now();
    node->changed = true;
    return 0;
}
