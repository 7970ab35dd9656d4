#include "fs/access_list.h"

#define VERSION 2U
#define CLASS_BITS 7U
#define OWNER_SHIFT 6U
#define GROUP_SHIFT 3U

static bool has_id(const struct access_entry *entry)
{
    return entry->tag == ACCESS_USER || entry->tag == ACCESS_GROUP;
}

static struct access_list *make(size_t count)
{
    struct access_list *list = allocate(sizeof(struct access_list) + count * sizeof(struct access_entry));
    if (list) {
        list->count = count;
    }
    return list;
}

void access_list_release(struct access_list *list)
{
    if (list) {
        release(list, sizeof(struct access_list) + list->count * sizeof(struct access_entry));
    }
}

struct access_list *access_list_copy(const struct access_list *list)
{
    struct access_list *copy = make(list->count);
    if (copy) {
        memcpy(copy->entries, list->entries, list->count * sizeof(struct access_entry));
    }
    return copy;
}

/* posix_acl_from_xattr() of Linux: which tags there are, and whose; all else is asked later. */
static bool is_entry(struct access_entry *entry)
{
    if (has_id(entry)) {
        return entry->id != ACCESS_NOBODY;
    }
    entry->id = ACCESS_NOBODY;
    return entry->tag == ACCESS_OWNER || entry->tag == ACCESS_OWNING_GROUP || entry->tag == ACCESS_MASK ||
           entry->tag == ACCESS_OTHERS;
}

int64_t access_list_read(const void *value, size_t size, struct access_list **list)
{
    uint32_t version;
    *list = NULL;
    if (size < ACCESS_LIST_HEADER) {
        return -EINVAL;
    }
    memcpy(&version, value, sizeof(version));
    if (version != VERSION) {
        return -EOPNOTSUPP;
    }
    size_t bytes = size - ACCESS_LIST_HEADER;
    if (bytes % sizeof(struct access_entry) != 0) {
        return -EINVAL;
    }
    if (bytes == 0) {
        return 0;
    }
    struct access_list *read = make(bytes / sizeof(struct access_entry));
    if (!read) {
        return -ENOMEM;
    }
    memcpy(read->entries, (const char *)value + ACCESS_LIST_HEADER, bytes);
    for (size_t at = 0; at < read->count; at++) {
        if (!is_entry(&read->entries[at])) {
            access_list_release(read);
            return -EINVAL;
        }
    }
    *list = read;
    return 0;
}

/* Each tag is behind those of lesser numbers; only users and groups with ids come more than once. */
bool access_list_is_valid(const struct access_list *list)
{
    uint32_t last = 0, seen = 0;
    for (size_t at = 0; at < list->count; at++) {
        const struct access_entry *entry = &list->entries[at];
        if ((entry->rights & ~CLASS_BITS) != 0 || entry->tag < last || (entry->tag == last && !has_id(entry))) {
            return false;
        }
        last = entry->tag;
        seen |= entry->tag;
    }
    bool wants_mask = (seen & (ACCESS_USER | ACCESS_GROUP)) != 0;
    uint32_t needed = ACCESS_OWNER | ACCESS_OWNING_GROUP | ACCESS_OTHERS | (wants_mask ? ACCESS_MASK : 0);
    return (seen & needed) == needed;
}

bool access_list_has_mask(const struct access_list *list)
{
    return list->entries[list->count - 2].tag == ACCESS_MASK; /* the last one is that of others */
}

/* Where the mode has the rights of an entry; false: nowhere. */
static bool place_in_mode(const struct access_entry *entry, bool has_mask, uint32_t *shift)
{
    *shift = entry->tag == ACCESS_OWNER ? OWNER_SHIFT : entry->tag == ACCESS_OTHERS ? 0 : GROUP_SHIFT;
    return entry->tag == ACCESS_OWNER || entry->tag == ACCESS_OTHERS ||
           entry->tag == (has_mask ? ACCESS_MASK : ACCESS_OWNING_GROUP);
}

uint32_t access_list_mode(const struct access_list *list)
{
    uint32_t mode = 0, shift;
    bool has_mask = access_list_has_mask(list);
    for (size_t at = 0; at < list->count; at++) {
        if (place_in_mode(&list->entries[at], has_mask, &shift)) {
            mode |= (uint32_t)list->entries[at].rights << shift;
        }
    }
    return mode;
}

static bool is_whole(uint32_t rights, uint32_t wanted)
{
    return (wanted & CLASS_BITS & ~rights) == 0;
}

/* posix_acl_permission() of Linux: the user's own entry decides alone; of his groups' any that gives all does. */
int64_t access_list_permits(const struct access_list *list, const struct inode *inode, uint32_t wanted)
{
    uint32_t mask = inode->mode >> GROUP_SHIFT;
    bool in_some_group = false;
    for (size_t at = 0; at < list->count; at++) {
        const struct access_entry *entry = &list->entries[at];
        bool is_group = entry->tag == ACCESS_GROUP || entry->tag == ACCESS_OWNING_GROUP;
        if (entry->tag == ACCESS_USER && entry->id == credentials()->user.file_system) {
            return is_whole(entry->rights & mask, wanted) ? 0 : -EACCES;
        }
        if (is_group && is_in_group(entry->tag == ACCESS_GROUP ? entry->id : inode->gid)) {
            in_some_group = true;
            if (is_whole(entry->rights, wanted)) {
                return is_whole(mask, wanted) ? 0 : -EACCES;
            }
        }
    }
    return !in_some_group && is_whole(inode->mode, wanted) ? 0 : -EACCES;
}

void access_list_write(const struct access_list *list, void *to)
{
    const uint32_t version = VERSION;
    memcpy(to, &version, sizeof(version));
    memcpy((char *)to + ACCESS_LIST_HEADER, list->entries, list->count * sizeof(struct access_entry));
}

void access_list_write_of(const struct access_list *list, uint32_t mode, void *to)
{
    uint32_t shift;
    bool has_mask = access_list_has_mask(list);
    access_list_write(list, to);
    char *at = (char *)to + ACCESS_LIST_HEADER;
    for (size_t number = 0; number < list->count; number++, at += sizeof(struct access_entry)) {
        struct access_entry entry = list->entries[number];
        if (place_in_mode(&entry, has_mask, &shift)) {
            entry.rights = mode >> shift & CLASS_BITS;
            memcpy(at, &entry, sizeof(entry));
        }
    }
}
