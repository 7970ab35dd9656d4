/* System calls of the address space: what of them is policy and argument checking. map.c, protect.c and remap.c do the work. */
#include "memory/space.h"

void heap_start(user_address start)
{
    struct space *space = current_space();
    space->heap.start = space->heap.end = start;
}

bool heap_is_in(const struct area *area)
{
    const struct space *space = area->space; /* without the lock: it may be growing */
    return area->start < space->heap.end && space->heap.start < area->end;
}

int64_t sys_brk(const struct arguments *arguments)
{
    struct space *space = current_space();
    user_address wanted = arguments->at[0];
    mutex_lock(&space->heap.lock);
    user_address old = PAGE_UP(space->heap.end), new = PAGE_UP(wanted);
    bool done = wanted >= space->heap.start && wanted < APPLICATION_END;
    if (done && new > old) {
        int64_t result = memory_map(old, new - old, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, NULL, 0);
        done = result >= 0;
    } else if (done && new < old) {
        done = memory_unmap(new, old - new) == 0;
    }
    if (done) {
        space->heap.end = wanted;
    }
    user_address end = space->heap.end;
    mutex_unlock(&space->heap.lock);
    return (int64_t)end; /* not an error: brk(2) reports failure by the old end */
}

/* file_mmap_ok() of Linux; what kind of file it is, and whether it may be mapped at all, is told after that. */
static bool is_beyond(struct file *file, uint64_t length, uint64_t offset)
{
    struct file_facts facts;
    file_upcalls.describe(file, &facts);
    return offset > (facts.has_last_offset ? (uint64_t)INT64_MAX : UINT64_MAX) - length;
}

static int64_t map_file(const struct arguments *arguments, uint32_t protection, uint32_t flags)
{
    uint64_t length = arguments->at[1], offset = arguments->at[5];
    if (offset % PAGE_SIZE) {
        return -EINVAL;
    }
    struct file *file = file_upcalls.of_descriptor((int)arguments->at[4]);
    if (!file) {
        return -EBADF;
    }
    int64_t result = -EINVAL;
    if (length > APPLICATION_END || is_beyond(file, length, offset)) {
        result = -EOVERFLOW;
    } else if (length > 0) {
        result = file_upcalls.check_mapping(file, (int)protection, (int)flags);
        result = !result && (flags & MAP_GROWSDOWN) ? -EINVAL : result;
    }
    if (!result) {
        struct file_facts facts;
        file_upcalls.describe(file, &facts);
        if (facts.zeros) { /* /dev/zero */
            bool may_write = file_upcalls.check_mapping(file, PROT_WRITE, (int)flags) == 0;
            flags |= MAP_ANONYMOUS | (may_write ? 0U : (uint32_t)MAP_NEVER_WRITABLE);
        }
        result = memory_map(arguments->at[0], length, protection, flags, facts.zeros ? NULL : file, offset);
    }
    file_upcalls.put(file);
    return result;
}

/* LEGACY_MAP_MASK of Linux: what MAP_SHARED_VALIDATE takes. MAP_SYNC would need persistent memory. */
#define VALIDATED_FLAGS 0x7C07F973U

/* What do_mmap() of Linux finds before it. */
static int64_t refuse_type(const struct arguments *arguments, uint32_t flags)
{
    uint64_t length = arguments->at[1];
    if (flags & MAP_ANONYMOUS) {
        return length > APPLICATION_END ? -ENOMEM : -EINVAL;
    }
    struct file *file = file_upcalls.of_descriptor((int)arguments->at[4]);
    if (!file) {
        return -EBADF;
    }
    file_upcalls.put(file);
    return -EINVAL;
}

#define HUGE_PAGE_SIZE 0x200000U

int64_t sys_mmap(const struct arguments *arguments)
{
    uint32_t protection = (uint32_t)arguments->at[2];
    uint32_t flags = (uint32_t)arguments->at[3];
    uint32_t type = flags & MAP_TYPE;
    if (type != MAP_PRIVATE && type != MAP_SHARED && type != MAP_SHARED_VALIDATE) {
        return refuse_type(arguments, flags);
    }
    if (type == MAP_SHARED_VALIDATE) {
        if (flags & MAP_ANONYMOUS) {
            return -EINVAL;
        }
        if (flags & ~VALIDATED_FLAGS) {
            return -EOPNOTSUPP;
        }
        flags = (flags & ~(uint32_t)MAP_TYPE) | MAP_SHARED;
    }
    if (flags & MAP_HUGETLB) { /* there are none */
        return (flags & MAP_ANONYMOUS) && (arguments->at[1] + HUGE_PAGE_SIZE - 1) / HUGE_PAGE_SIZE != 0 ? -ENOMEM : -EINVAL;
    }
    flags &= ~MAP_INTERNAL;
    if ((flags & MAP_LOCKED) && !may_lock()) {
        return -EPERM;
    }
    if ((flags & MAP_GROWSDOWN) && type != MAP_PRIVATE) {
        return -EINVAL;
    }
    if (flags & MAP_ANONYMOUS) {
        return memory_map(arguments->at[0], arguments->at[1], protection, flags, NULL, 0);
    }
    return map_file(arguments, protection, flags);
}

int64_t sys_munmap(const struct arguments *arguments)
{
    return memory_unmap(arguments->at[0], arguments->at[1]);
}

#define PROT_KNOWN (PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM | PROT_GROWSDOWN | PROT_GROWSUP)

/* do_mprotect_pkey() of Linux, in its order. */
int64_t sys_mprotect(const struct arguments *arguments)
{
    user_address start = arguments->at[0];
    uint64_t length = arguments->at[1];
    uint32_t protection = (uint32_t)arguments->at[2];
    if (start % PAGE_SIZE || (protection & (PROT_GROWSDOWN | PROT_GROWSUP)) == (PROT_GROWSDOWN | PROT_GROWSUP)) {
        return -EINVAL;
    }
    if (!length) {
        return 0;
    }
    if (start + PAGE_UP(length) <= start) {
        return -ENOMEM;
    }
    if (protection & ~(uint32_t)PROT_KNOWN) {
        return -EINVAL;
    }
    return memory_protect(start, length, protection);
}

int64_t sys_mremap(const struct arguments *arguments)
{
    uint64_t flags = arguments->at[3];
    if (flags & ~(uint64_t)(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)) {
        return -EINVAL;
    }
    return memory_remap(arguments->at[0], arguments->at[1], arguments->at[2], (uint32_t)flags,
                        arguments->at[4]);
}

/* 0 and the page-aligned range, or -EINVAL, -ENOMEM. */
static int64_t import_range(const struct arguments *arguments, user_address *start, user_address *end)
{
    uint64_t length = arguments->at[1];
    *start = arguments->at[0];
    if (*start % PAGE_SIZE) {
        return -EINVAL;
    }
    *end = *start + PAGE_UP(length);
    return user_range_is_valid(*start, length) ? 0 : -ENOMEM;
}

int64_t sys_msync(const struct arguments *arguments)
{
    user_address start, end;
    uint32_t flags = (uint32_t)arguments->at[2];
    if ((flags & ~(uint32_t)(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) || ((flags & MS_ASYNC) && (flags & MS_SYNC))) {
        return -EINVAL;
    }
    int64_t error = import_range(arguments, &start, &end);
    if (error == -ENOMEM && end == start) {
        return 0; /* in whole pages, so much is nothing */
    }
    return error ? error : memory_synchronise(start, end, flags);
}

int64_t sys_mincore(const struct arguments *arguments)
{
    user_address start, end;
    int64_t error = import_range(arguments, &start, &end);
    uint8_t resident[256];
    for (uint64_t done = 0; !error && start < end; done += sizeof resident) {
        uint64_t span = sizeof resident * PAGE_SIZE;
        user_address last = end - start < span ? end : start + span;
        if (!memory_residence(start, last, resident)) {
            return -ENOMEM;
        }
        error = copy_to_user(arguments->at[2] + done, resident, (last - start) / PAGE_SIZE);
        start = last;
    }
    return error;
}

/* As mlock(2) takes a range: the pages that it touches. */
static int64_t lock_range(const struct arguments *arguments, uint32_t locked_flags)
{
    user_address start = PAGE_DOWN(arguments->at[0]);
    uint64_t length = PAGE_UP(arguments->at[1] + (arguments->at[0] - start));
    if (locked_flags && !may_lock()) {
        return -EPERM;
    }
    if (start + length < start) { /* Linux looks at the limit first */
        return locked_flags && !may_lock_more(current_space(), length) ? -ENOMEM : -EINVAL;
    }
    if (length == 0) {
        return 0;
    }
    return user_range_is_valid(start, length) ? memory_lock_range(start, start + length, locked_flags) : -ENOMEM;
}

int64_t sys_mlock(const struct arguments *arguments)
{
    return lock_range(arguments, MAP_LOCKED);
}

#define MLOCK_ONFAULT 1U

int64_t sys_mlock2(const struct arguments *arguments)
{
    uint32_t flags = (uint32_t)arguments->at[2];
    return flags & ~MLOCK_ONFAULT ? -EINVAL : lock_range(arguments, MAP_LOCKED | (flags ? MAP_LOCKED_ON_FAULT : 0));
}

int64_t sys_munlock(const struct arguments *arguments)
{
    return lock_range(arguments, 0);
}

enum { MCL_CURRENT = 1, MCL_FUTURE = 2, MCL_ONFAULT = 4 };

/* Pages that are not there yet come when they are touched: nothing is ever swapped out. */
int64_t sys_mlockall(const struct arguments *arguments)
{
    uint32_t flags = (uint32_t)arguments->at[0];
    if (!flags || (flags & ~(uint32_t)(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) || flags == MCL_ONFAULT) {
        return -EINVAL;
    }
    if (!may_lock()) {
        return -EPERM;
    }
    return memory_lock_all(flags & MCL_CURRENT, flags & MCL_FUTURE, MAP_LOCKED | (flags & MCL_ONFAULT ? MAP_LOCKED_ON_FAULT : 0));
}

int64_t sys_munlockall(const struct arguments *arguments)
{
    (void)arguments;
    return memory_lock_all(false, false, 0);
}
