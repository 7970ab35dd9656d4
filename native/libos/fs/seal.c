#include "fs/seal.h"

#include "fs/tree.h"

#define EXECUTE_BITS 0111U

static bool can_be_sealed(const struct inode *inode)
{
    return inode->file_system->magic == TMPFS_MAGIC && is_regular(inode);
}

int64_t seals_of(const struct file *file)
{
    return can_be_sealed(file->inode) ? (int64_t)__atomic_load_n(&file->inode->seals, __ATOMIC_ACQUIRE) : -EINVAL;
}

struct search {
    const struct inode *inode;
    bool found;
};

/* A shared mapping of a file that is open for writing counts, whatever its protection is now. */
static bool look_at_area(const struct area *area, void *context)
{
    struct search *search = context;
    search->found = (area->flags & MAP_TYPE) != MAP_PRIVATE && area->file &&
                    area->file->inode == search->inode && is_writable(area->file);
    return !search->found;
}

/* memfd_add_seals() of Linux. */
int64_t seals_add(struct file *file, uint32_t seals)
{
    struct inode *inode = file->inode;
    if (!is_writable(file)) {
        return -EPERM;
    }
    if ((seals & ~(uint32_t)F_ALL_SEALS) != 0 || !can_be_sealed(inode)) {
        return -EINVAL;
    }
    if (is_sealed(inode, F_SEAL_SEAL)) {
        return -EPERM;
    }
    if ((seals & F_SEAL_WRITE) && !is_sealed(inode, F_SEAL_WRITE)) {
        struct search search = {.inode = inode};
        memory_each(NULL, look_at_area, &search);
        if (search.found) {
            return -EBUSY;
        }
    }
    if ((seals & F_SEAL_EXEC) && (inode->mode & EXECUTE_BITS) != 0) {
        seals |= F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
    }
    __atomic_fetch_or(&inode->seals, seals, __ATOMIC_ACQ_REL);
    return 0;
}

/* Linux writes page by page: what lies in pages before the end is written, nothing of the page that crosses it. */
int64_t seals_limit_write(const struct inode *inode, uint64_t offset, uint64_t *length)
{
    if (is_sealed(inode, F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) {
        return -EPERM;
    }
    uint64_t size = __atomic_load_n(&inode->size, __ATOMIC_ACQUIRE);
    if (!is_sealed(inode, F_SEAL_GROW) || (offset <= size && *length <= size - offset)) {
        return 0;
    }
    uint64_t last = size - size % PAGE_SIZE;
    if (last <= offset) {
        return -EPERM;
    }
    *length = last - offset;
    return 0;
}

int64_t seals_check_size(const struct inode *inode, uint64_t size)
{
    uint64_t now = __atomic_load_n(&inode->size, __ATOMIC_ACQUIRE);
    bool forbidden = (size < now && is_sealed(inode, F_SEAL_SHRINK)) || (size > now && is_sealed(inode, F_SEAL_GROW));
    return forbidden ? -EPERM : 0;
}
