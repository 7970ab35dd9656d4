#include "fs/tree_access_list.h"

void tree_access_lists_destroy(struct node *node)
{
    for (size_t kind = 0; kind < ARRAY_LENGTH(node->access_lists); kind++) {
        access_list_release(node->access_lists[kind]);
        node->access_lists[kind] = NULL;
    }
}

/* Engines set a layer's attributes with setxattr(2), and the mode behind them: a list that is none could not have been set,
 * and what list and mode both tell is as the mode has it. */
static int64_t load(const struct node *node, enum access_list_kind kind, struct access_list **list)
{
    static const uint32_t prefixes[] = {
        [ACCESS_LIST] = EROFS_PREFIX_ACL_ACCESS, [DEFAULT_LIST] = EROFS_PREFIX_ACL_DEFAULT};
    struct erofs_xattr xattr;
    int64_t result = erofs_find_xattr(&node->lower, prefixes[kind], "", 0, &xattr);
    if (result == -ENODATA || (result == 0 && xattr.value_size == 0)) {
        return 0;
    }
    void *value = result == 0 ? allocate(xattr.value_size) : NULL;
    if (!value) {
        return result < 0 ? result : -ENOMEM;
    }
    result = erofs_xattr_value(&xattr, value, xattr.value_size);
    if (result >= 0) {
        result = access_list_read(value, xattr.value_size, list);
        result = result < 0 && result != -ENOMEM ? -EIO : result;
    }
    release(value, xattr.value_size);
    if (result == 0 && *list && !access_list_is_valid(*list)) {
        result = -EIO;
    }
    if (result < 0 || (*list && kind == ACCESS_LIST && !access_list_has_mask(*list))) {
        access_list_release(*list);
        *list = NULL;
    }
    return result;
}

/* The image is asked once. Where it has no list but other bytes, each question is -EIO: such a file is closed. */
static int64_t know_lists(struct node *node)
{
    struct access_list *lists[ARRAY_LENGTH(node->access_lists)] = {NULL};
    if (!node->has_lower || node->knows_access_lists) {
        return 0;
    }
    int64_t result = is_link(&node->inode) ? 0 : load(node, ACCESS_LIST, &lists[ACCESS_LIST]);
    if (result == 0 && is_directory(&node->inode)) {
        result = load(node, DEFAULT_LIST, &lists[DEFAULT_LIST]);
    }
    if (result < 0) {
        access_list_release(lists[ACCESS_LIST]);
        return result;
    }
    memcpy(node->access_lists, lists, sizeof(lists));
    node->knows_access_lists = true;
    return 0;
}

int64_t tree_access_list(const struct inode *inode, enum access_list_kind kind, const struct access_list **list)
{
    struct node *node = node_of((struct inode *)inode); /* what is learned of the image changes nothing */
    int64_t result = know_lists(node);
    *list = result == 0 ? node->access_lists[kind] : NULL;
    return result;
}

int64_t tree_set_access_list(struct inode *inode, enum access_list_kind kind, struct access_list *list)
{
    struct node *node = node_of(inode);
    int64_t result = know_lists(node);
    if (result == 0) {
        access_list_release(node->access_lists[kind]);
        node->access_lists[kind] = list;
        node->changed = true;
    }
    return result;
}

static int64_t copy_to(struct node *node, enum access_list_kind kind, const struct access_list *list)
{
    node->access_lists[kind] = access_list_copy(list);
    return node->access_lists[kind] ? 0 : -ENOMEM;
}

/* posix_acl_create() of Linux: the directory's default list is the new node's own, as far as the mode asked for goes, and
 * the umask is not looked at. */
int64_t tree_inherit_access(struct node *node, const struct inode *directory, uint32_t mode_mask)
{
    const struct access_list *list;
    struct inode *inode = &node->inode;
    int64_t result = is_link(inode) ? 0 : tree_access_list(directory, DEFAULT_LIST, &list);
    if (result < 0 || is_link(inode)) {
        return result;
    }
    if (!list) {
        inode->mode &= ~mode_mask;
        return 0;
    }
    inode->mode &= ~0777U | access_list_mode(list);
    result = access_list_has_mask(list) ? copy_to(node, ACCESS_LIST, list) : 0;
    return result == 0 && is_directory(inode) ? copy_to(node, DEFAULT_LIST, list) : result;
}
