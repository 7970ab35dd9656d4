#include "net/unix_name.h"

#define FAMILY_SIZE sizeof(uint16_t)
#define PATH_SIZE 108U /* sun_path */

struct binding {
    struct binding *next;
    struct inode *inode; /* counted; NULL: an abstract name */
    struct inbox *inbox; /* counted */
};

static struct mutex lock; /* guards the list */
static struct binding *bindings;

bool name_is_good(const struct address *address)
{
    return address->length > FAMILY_SIZE && address->length <= FAMILY_SIZE + PATH_SIZE &&
           address_family(address) == AF_UNIX;
}

bool asks_for_any_name(const struct address *address)
{
    return address->length == FAMILY_SIZE && address_family(address) == AF_UNIX;
}

static bool is_abstract(const struct address *address)
{
    return address->bytes[FAMILY_SIZE] == 0;
}

/* Each type has abstract names of its own. The lock is held. */
static struct binding *find_abstract(const struct address *address, uint16_t type)
{
    struct binding *binding = bindings;
    while (binding && (binding->inode || binding->inbox->type != type ||
                                  binding->inbox->name.length != address->length ||
                                  memcmp(binding->inbox->name.bytes, address->bytes, address->length) != 0)) {
        binding = binding->next;
    }
    return binding;
}

static struct binding *find_inode(const struct inode *inode)
{
    struct binding *binding = bindings;
    while (binding && binding->inode != inode) {
        binding = binding->next;
    }
    return binding;
}

static void set_name(struct inbox *inbox, const struct address *address)
{
    mutex_lock(&inbox->lock);
    inbox->name = *address;
    mutex_unlock(&inbox->lock);
}

/* Takes over the inode. */
static int64_t add(struct inbox *inbox, const struct address *address, struct inode *inode, struct binding **made)
{
    struct binding *binding = allocate(sizeof(struct binding));
    if (!binding) {
        inode_put(inode);
        return -ENOMEM;
    }
    *binding = (struct binding){.inode = inode, .inbox = inbox_get(inbox)};
    mutex_lock(&lock);
    bool is_used = !inode && find_abstract(address, inbox->type);
    if (!is_used) {
        set_name(inbox, address);
        binding->next = bindings;
        bindings = binding;
    }
    mutex_unlock(&lock);
    if (is_used) {
        inbox_put(inbox);
        release(binding, sizeof(struct binding));
        return -EADDRINUSE;
    }
    *made = binding;
    return 0;
}

/* unix_autobind() of Linux: five hexadecimal digits. */
static int64_t bind_any(struct inbox *inbox, struct binding **binding)
{
    struct address address = {.length = FAMILY_SIZE + 1 + 5, .bytes = {AF_UNIX}};
    int64_t result = -EADDRINUSE;
    for (uint32_t attempt = 0; attempt < 64 && result == -EADDRINUSE; attempt++) {
        uint32_t number;
        char digits[6];
        random_bytes(&number, sizeof(number));
        format_text(digits, sizeof(digits), "%05x", number & 0xFFFFF);
        memcpy(address.bytes + FAMILY_SIZE + 1, digits, 5);
        result = add(inbox, &address, NULL, binding);
    }
    return result == -EADDRINUSE ? -ENOSPC : result;
}

static int64_t bind_path(struct inbox *inbox, const struct address *address, struct binding **binding)
{
    char path[PATH_SIZE + 1] = {0};
    struct address own = *address;
    struct inode *inode;
    memcpy(path, address->bytes + FAMILY_SIZE, address->length - FAMILY_SIZE);
    own.length = (uint32_t)(FAMILY_SIZE + strlen(path) + 1); /* getsockname() tells of the NUL, too */
    own.bytes[own.length - 1] = 0;
    struct creation creation = {.mode = S_IFSOCK | 0777U, .mode_mask = current_whereabouts()->mode_mask};
    int64_t result = node_make(path, &creation, &inode);
    if (result < 0) {
        return result == -EEXIST ? -EADDRINUSE : result;
    }
    return add(inbox, &own, inode, binding);
}

int64_t name_bind(struct inbox *inbox, const struct address *address, struct binding **binding)
{
    if (asks_for_any_name(address)) {
        return bind_any(inbox, binding);
    }
    if (!name_is_good(address)) {
        return -EINVAL;
    }
    return is_abstract(address) ? add(inbox, address, NULL, binding) : bind_path(inbox, address, binding);
}

void name_unbind(struct binding *binding)
{
    if (!binding) {
        return;
    }
    mutex_lock(&lock);
    struct binding **at = &bindings;
    while (*at != binding) {
        at = &(*at)->next;
    }
    *at = binding->next;
    mutex_unlock(&lock);
    inode_put(binding->inode);
    inbox_put(binding->inbox);
    release(binding, sizeof(struct binding));
}

static int64_t inode_of(const struct address *address, struct inode **inode)
{
    char path[PATH_SIZE + 1] = {0};
    struct place place;
    memcpy(path, address->bytes + FAMILY_SIZE, address->length - FAMILY_SIZE);
    namespace_lock();
    int64_t result = path_walk(NULL, path, WALK_FOLLOW, &place);
    if (result == 0) {
        result = inode_access(place.inode, MAY_WRITE);
        if (result == 0 && (place.inode->mode & S_IFMT) != S_IFSOCK) {
            result = -ECONNREFUSED;
        }
        *inode = result == 0 ? inode_get(place.inode) : NULL;
        place_release(&place);
    }
    namespace_unlock();
    return result;
}

int64_t name_find(const struct address *address, uint16_t type, struct inbox **inbox)
{
    struct inode *inode = NULL;
    if (!name_is_good(address)) {
        return -EINVAL;
    }
    if (!is_abstract(address)) {
        int64_t result = inode_of(address, &inode);
        if (result < 0) {
            return result;
        }
    }
    mutex_lock(&lock);
    struct binding *binding = inode ? find_inode(inode) : find_abstract(address, type);
    int64_t result = !binding ? -ECONNREFUSED : binding->inbox->type != type ? -EPROTOTYPE : 0;
    *inbox = result == 0 ? inbox_get(binding->inbox) : NULL;
    mutex_unlock(&lock);
    inode_put(inode);
    return result;
}
