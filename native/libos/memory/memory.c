/*
 * The application's address space. One lock guards areas and pages. While it is held, application memory is
 * touched only where it is known to be committed and writable, so a fault never needs the lock that its own
 * thread holds.
 */
#include "memory/area.h"
#include "memory/commit.h"
#include "memory/memory_calls.h"

#define EAGER_MAX 0x10000ULL     /* an anonymous mapping up to this size gets its pages at once */
#define FAULT_AROUND 0x10000ULL  /* aligned block that one fault commits */
#define AREAS_MAX 65530U         /* Linux's default vm.max_map_count */
#define SPARE_NODES 8U           /* no operation makes more areas than this */
#define ACCESS_MASK (PROT_READ | PROT_WRITE | PROT_EXEC)

struct file_upcalls file_upcalls;

static struct mutex lock;
static struct area_tree tree;
static struct area_node *spares; /* linked by `left` */
static uint32_t spare_count;
static uint32_t area_count;
static uint64_t mapped_pages;
/* no free page in [full_from, MMAP_HIGH): where the search for gaps begins */
static user_address full_from = MMAP_HIGH;

/* So that no operation has to stop half-way for want of a node. */
static bool reserve_nodes(void)
{
    while (spare_count < SPARE_NODES) {
        struct area_node *node = area_count < AREAS_MAX ? allocate(sizeof *node) : NULL;
        if (!node) {
            return false;
        }
        node->left = spares;
        spares = node;
        spare_count++;
    }
    return true;
}

static struct area_node *take_node(void)
{
    struct area_node *node = spares;
    spares = node->left;
    spare_count--;
    area_count++;
    *node = (struct area_node){0};
    return node;
}

static void drop_node(struct area_node *node)
{
    area_count--;
    if (node->area.file) {
        file_upcalls.put(node->area.file);
    }
    if (spare_count < SPARE_NODES) {
        node->left = spares;
        spares = node;
        spare_count++;
    } else {
        release(node, sizeof *node);
    }
}

/* Make `address` a border between areas. */
static void split_at(user_address address)
{
    struct area_node *node = area_find(&tree, address);
    if (node && node->area.start < address) {
        struct area_node *upper = take_node();
        area_split(&tree, node, address, upper);
        if (upper->area.file) {
            file_upcalls.get(upper->area.file);
        }
    }
}

static void join_with_next(struct area_node *node)
{
    struct area_node *upper = area_from(&tree, node->area.end);
    if (upper && area_joins(&node->area, &upper->area)) {
        area_remove(&tree, upper);
        node->area.end = upper->area.end;
        drop_node(upper);
    }
}

static void join_around(user_address start, user_address end)
{
    for (struct area_node *node = area_before(&tree, start ? start : 1); node && node->area.start <= end;) {
        user_address old_end = node->area.end;
        join_with_next(node);
        if (node->area.end == old_end) {
            node = area_from(&tree, node->area.end);
        }
    }
}

/* A shared mapping of a file reaches the file when it is synchronised or unmapped; there is no page cache to
 * share. */
static int64_t write_back(const struct area *area, user_address start, user_address end)
{
    if (!area->file || !(area->flags & MAP_SHARED) || !(area->protection & PROT_WRITE)) {
        return 0;
    }
    struct file_facts facts;
    file_upcalls.describe(area->file, &facts);
    for (user_address next; start < end; start = next) {
        bool committed;
        next = commit_run(start, end, &committed);
        uint64_t offset = area->offset + (start - area->start);
        if (!committed || offset >= facts.size) {
            continue;
        }
        uint64_t length = next - start < facts.size - offset ? next - start : facts.size - offset;
        int64_t result = file_upcalls.write_at(area->file, (const void *)start, length, offset);
        if (result < 0) {
            return result;
        }
    }
    return 0;
}

static void note_gap(user_address end)
{
    if (end > full_from) {
        full_from = end < MMAP_HIGH ? end : MMAP_HIGH;
    }
}

/*
 * Large reservations never come to lie below 8 GiB, as on Linux, where only MAP_32BIT leads there. GHC's run-time
 * system counts on it: it gives back what lies lower and tries again, for ever (rts/posix/OSMem.c).
 */
#define LARGE_LENGTH 0x200000000ULL
#define LARGE_LOW 0x200000000ULL

static user_address find_gap(uint64_t length)
{
    const struct area_node *below;
    while ((below = area_before(&tree, full_from)) && below->area.end >= full_from) {
        full_from = below->area.start;
    }
    return area_find_gap(&tree, length, length < LARGE_LENGTH ? MMAP_LOW : LARGE_LOW, full_from);
}

static void unmap_locked(user_address start, user_address end)
{
    split_at(start);
    split_at(end);
    for (struct area_node *node; (node = area_from(&tree, start)) && node->area.start < end;) {
        int64_t error = write_back(&node->area, node->area.start, node->area.end);
        if (error) {
            log_line(LOG_WARNING, "a shared mapping was not written back: errno %d", (int)-error);
        }
        area_remove(&tree, node);
        note_gap(node->area.end);
        commit_remove(node->area.start, node->area.end);
        mapped_pages -= (node->area.end - node->area.start) / PAGE_SIZE;
        drop_node(node);
    }
}

#define JUMP_REACH 0x70000000ULL /* of a jump with a 32-bit distance, with room for the text itself */

/* Make the `syscall` sites of freshly loaded code jump into the LibOS; without room for trampolines nearby
 * they go on trapping. */
static void patch_with(user_address text, uint64_t size, struct patch_site *sites)
{
    size_t count = patch_find((const uint8_t *)text, size, sites);
    uint64_t length = patch_trampoline_pages(count) * PAGE_SIZE;
    user_address low = text > JUMP_REACH + APPLICATION_START ? text - JUMP_REACH : APPLICATION_START;
    user_address start = count ? area_find_gap(&tree, length, low, PAGE_DOWN(text)) : 0;
    if (!start) {
        return;
    }
    if (commit_add(start, start + length)) {
        commit_remove(start, start + length);
        return;
    }
    struct area_node *node = take_node();
    node->area = (struct area){
        .start = start,
        .end = start + length,
        .protection = PROT_READ | PROT_EXEC,
        .flags = MAP_PRIVATE | MAP_ANONYMOUS,
    };
    area_insert(&tree, node);
    mapped_pages += length / PAGE_SIZE;
    patch_apply((uint8_t *)text, sites, count, (uint8_t *)start);
    commit_protect(start, start + length, PROT_READ | PROT_WRITE, node->area.protection);
}

static void patch_text(user_address text, uint64_t size)
{
    size_t candidates = size < JUMP_REACH ? patch_candidates((const uint8_t *)text, size) : 0;
    struct patch_site *sites = candidates ? allocate(candidates * sizeof *sites) : NULL;
    if (sites) {
        patch_with(text, size, sites);
        release(sites, candidates * sizeof *sites);
    }
}

/*
 * Pages of a file are read when it is mapped: a page that another thread could see between EACCEPT and the
 * end of the read would show zeros. Pages behind the end of the file are left out (SIGBUS).
 */
static int64_t fill_from_file(const struct area *area)
{
    struct file_facts facts;
    file_upcalls.describe(area->file, &facts);
    if (area->offset >= facts.size) {
        return 0;
    }
    uint64_t length = area->end - area->start;
    uint64_t bytes = facts.size - area->offset < length ? facts.size - area->offset : length;
    user_address end = area->start + PAGE_UP(bytes);
    if (commit_add(area->start, end)) {
        return -ENOMEM;
    }
    int64_t got = file_upcalls.read_at(area->file, (void *)area->start, bytes, area->offset);
    if (got < 0) {
        return got;
    }
    if (area->protection & PROT_EXEC) {
        patch_text(area->start, bytes);
    }
    commit_protect(area->start, end, PROT_READ | PROT_WRITE, area->protection);
    return 0;
}

static int64_t populate(const struct area *area, bool eager)
{
    if (area->file) {
        return fill_from_file(area);
    }
    if (!eager || !(area->protection & ACCESS_MASK)) {
        return 0;
    }
    if (commit_add(area->start, area->end)) {
        return -ENOMEM;
    }
    commit_protect(area->start, area->end, PROT_READ | PROT_WRITE, area->protection);
    return 0;
}

static bool range_is_good(user_address address, uint64_t length)
{
    return address % PAGE_SIZE == 0 && length && length <= APPLICATION_END && address >= APPLICATION_START &&
           address <= APPLICATION_END - length;
}

/* Where the new area goes, or 0. */
static user_address place(user_address hint, uint64_t length)
{
    hint = PAGE_DOWN(hint);
    if (hint && range_is_good(hint, length) && area_is_free(&tree, hint, hint + length)) {
        return hint;
    }
    return find_gap(length);
}

static int64_t map_locked(struct area area, uint64_t length, uint32_t flags)
{
    bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
    if (!reserve_nodes()) {
        return -ENOMEM;
    }
    if (!fixed) {
        area.start = place(area.start, length);
        if (!area.start) {
            return -ENOMEM;
        }
    }
    area.end = area.start + length;
    if ((flags & MAP_FIXED_NOREPLACE) && !area_is_free(&tree, area.start, area.end)) {
        return -EEXIST;
    }
    if (fixed) {
        unmap_locked(area.start, area.end);
    }
    struct area_node *node = take_node();
    node->area = area;
    if (area.file) {
        file_upcalls.get(area.file);
    }
    area_insert(&tree, node);
    mapped_pages += length / PAGE_SIZE;
    bool eager = (flags & MAP_POPULATE) ||
                 (length <= EAGER_MAX && !(flags & (MAP_NORESERVE | MAP_STACK | MAP_GROWSDOWN)));
    int64_t error = populate(&area, eager);
    if (error) {
        node->area.flags &= ~(uint32_t)MAP_SHARED; /* nothing of it goes back to the file */
        unmap_locked(area.start, area.end);
        return error;
    }
    join_around(area.start, area.end);
    return (int64_t)area.start;
}

int64_t memory_map(user_address address, uint64_t length, uint32_t protection, uint32_t flags,
                   struct file *file, uint64_t offset)
{
    if (length == 0 || length > APPLICATION_END) {
        return length ? -ENOMEM : -EINVAL;
    }
    length = PAGE_UP(length);
    if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) && !range_is_good(address, length)) {
        return address % PAGE_SIZE ? -EINVAL : -ENOMEM;
    }
    uint64_t committed, limit;
    pages_count(&committed, &limit);
    if ((protection & PROT_WRITE) && !(flags & MAP_NORESERVE) && length / PAGE_SIZE > limit) {
        return -ENOMEM; /* as Linux's heuristic overcommit refuses what can never be there */
    }
    struct area area = {
        .start = address,
        .protection = protection & ACCESS_MASK,
        .flags = flags & (MAP_SHARED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN),
        .file = file,
        .offset = file ? offset : 0,
    };
    mutex_lock(&lock);
    int64_t result = map_locked(area, length, flags);
    mutex_unlock(&lock);
    return result;
}

int64_t memory_unmap(user_address address, uint64_t length)
{
    if (length > APPLICATION_END || !range_is_good(address, PAGE_UP(length))) {
        return -EINVAL;
    }
    mutex_lock(&lock);
    bool ready = reserve_nodes();
    if (ready) {
        unmap_locked(address, address + PAGE_UP(length));
    }
    mutex_unlock(&lock);
    return ready ? 0 : -ENOMEM;
}

/* The first error that mprotect must report for the range, without changing anything. */
static int64_t check_protect(user_address start, user_address end, uint32_t protection)
{
    user_address at = start;
    for (struct area_node *node = area_from(&tree, start); at < end; node = area_from(&tree, at)) {
        if (!node || node->area.start > at) {
            return -ENOMEM;
        }
        if (node->area.file) {
            int64_t error = file_upcalls.check_mapping(node->area.file, (int)protection, (int)node->area.flags);
            if (error) {
                return error == -EPERM ? -EACCES : error;
            }
        }
        at = node->area.end;
    }
    return 0;
}

static int64_t protect_locked(user_address start, user_address end, uint32_t protection)
{
    int64_t error = check_protect(start, end, protection);
    if (error) {
        return error;
    }
    split_at(start);
    split_at(end);
    for (struct area_node *node; start < end; start = node->area.end) {
        node = area_from(&tree, start);
        commit_protect(node->area.start, node->area.end, node->area.protection, protection);
        node->area.protection = protection;
    }
    return 0;
}

int64_t memory_protect(user_address address, uint64_t length, uint32_t protection)
{
    if (address % PAGE_SIZE) {
        return -EINVAL;
    }
    if (length == 0) {
        return 0;
    }
    if (length > APPLICATION_END || !range_is_good(address, PAGE_UP(length))) {
        return -ENOMEM;
    }
    length = PAGE_UP(length);
    mutex_lock(&lock);
    int64_t result = reserve_nodes() ? protect_locked(address, address + length, protection & ACCESS_MASK)
                                     : -ENOMEM;
    join_around(address, address + length);
    mutex_unlock(&lock);
    return result;
}

static bool access_is_allowed(uint32_t protection, enum fault_access access)
{
    switch (access) {
    case FAULT_READ:
        return protection & ACCESS_MASK;
    case FAULT_WRITE:
        return protection & PROT_WRITE;
    case FAULT_EXECUTE:
        return protection & PROT_EXEC;
    }
    return false;
}

/* Commit the block around a page of an anonymous area; only that page when memory is short. */
static int64_t fault_in(const struct area *area, user_address page)
{
    user_address start = page & ~(FAULT_AROUND - 1);
    user_address end = start + FAULT_AROUND;
    start = start > area->start ? start : area->start;
    end = end < area->end ? end : area->end;
    bool committed;
    for (user_address next = start; next <= page; next = commit_run(next, end, &committed)) {
        start = next; /* the run of missing pages that holds the page */
    }
    end = commit_run(start, end, &committed);
    if (commit_add(start, end)) {
        start = page;
        end = page + PAGE_SIZE;
        if (commit_add(start, end)) {
            log_line(LOG_ERROR, "out of enclave memory: the image is built for less (see --set memory)");
            return -ENOMEM;
        }
    }
    commit_protect(start, end, PROT_READ | PROT_WRITE, area->protection);
    return 0;
}

static int64_t fault_locked(user_address page, enum fault_access access)
{
    struct area_node *node = area_find(&tree, page);
    if (!node) {
        return -EFAULT;
    }
    if (!access_is_allowed(node->area.protection, access)) {
        return -EACCES;
    }
    if (commit_test(page)) {
        return 0; /* another thread was faster */
    }
    return node->area.file ? -EIO : fault_in(&node->area, page);
}

int64_t memory_fault(user_address address, enum fault_access access)
{
    if (address < APPLICATION_START || address >= APPLICATION_END) {
        return -EFAULT;
    }
    mutex_lock(&lock);
    int64_t result = fault_locked(PAGE_DOWN(address), access);
    mutex_unlock(&lock);
    return result;
}

int64_t memory_commit(user_address address, uint64_t length, enum fault_access access)
{
    if (!user_range_is_valid(address, length)) {
        return -EFAULT;
    }
    user_address end = address + length;
    int64_t result = 0;
    mutex_lock(&lock);
    for (user_address page = PAGE_DOWN(address); length && page < end && !result; page += PAGE_SIZE) {
        result = fault_locked(page, access);
    }
    mutex_unlock(&lock);
    return result ? -EFAULT : 0;
}

/* Drop the content of private anonymous pages; they come back as zeros. */
int64_t memory_discard(user_address start, user_address end)
{
    int64_t result = 0;
    mutex_lock(&lock);
    for (user_address at = start; at < end;) {
        struct area_node *node = area_from(&tree, at);
        if (!node || node->area.start >= end) {
            result = -ENOMEM;
            break;
        }
        if (node->area.start > at) {
            result = -ENOMEM; /* reported, but the rest is done (madvise(2)) */
            at = node->area.start;
        }
        user_address last = node->area.end < end ? node->area.end : end;
        if (!node->area.file && !(node->area.flags & MAP_SHARED)) {
            commit_remove(at, last);
        }
        at = last;
    }
    mutex_unlock(&lock);
    return result;
}

int64_t memory_synchronise(user_address start, user_address end)
{
    int64_t result = 0;
    mutex_lock(&lock);
    for (user_address at = start; at < end && !result;) {
        struct area_node *node = area_from(&tree, at);
        if (!node || node->area.start > at) {
            result = -ENOMEM;
            break;
        }
        user_address last = node->area.end < end ? node->area.end : end;
        result = write_back(&node->area, at, last);
        at = last;
    }
    mutex_unlock(&lock);
    return result;
}

bool memory_is_mapped(user_address start, user_address end, uint8_t *resident)
{
    bool mapped = true;
    mutex_lock(&lock);
    for (user_address page = start; page < end && mapped; page += PAGE_SIZE) {
        mapped = area_find(&tree, page) != NULL;
        resident[(page - start) / PAGE_SIZE] = commit_test(page);
    }
    mutex_unlock(&lock);
    return mapped;
}

/* Copy what is there to a new place, which is then given the old protection. */
static int64_t move_locked(struct area old, user_address target, uint64_t new_length, uint32_t flags)
{
    struct area area = {
        .start = target, .protection = PROT_READ | PROT_WRITE, .flags = MAP_PRIVATE | MAP_ANONYMOUS};
    int64_t to = map_locked(area, new_length, flags | MAP_NORESERVE);
    if (to < 0) {
        return to;
    }
    uint64_t length = old.end - old.start < new_length ? old.end - old.start : new_length;
    bool committed;
    for (user_address at = old.start, next; at < old.start + length; at = next) {
        next = commit_run(at, old.start + length, &committed);
        user_address copy = (user_address)to + (at - old.start);
        if (!committed) {
            continue;
        }
        if (commit_add(copy, copy + (next - at))) {
            unmap_locked((user_address)to, (user_address)to + new_length);
            return -ENOMEM;
        }
        commit_protect(at, next, old.protection, old.protection | PROT_READ);
        memcpy((void *)copy, (const void *)at, next - at);
        commit_protect(at, next, old.protection | PROT_READ, old.protection);
    }
    split_at((user_address)to); /* it may have been joined with its neighbours */
    split_at((user_address)to + new_length);
    struct area_node *node = area_find(&tree, (user_address)to);
    commit_protect(node->area.start, node->area.end, PROT_READ | PROT_WRITE, old.protection);
    node->area.protection = old.protection;
    node->area.flags = old.flags;
    node->area.offset = old.offset;
    node->area.file = old.file;
    if (old.file) {
        file_upcalls.get(old.file);
    }
    unmap_locked(old.start, old.end);
    return to;
}

/* Could the area [start, end) grow to `new_length` where it is? */
static bool can_grow(const struct area_node *node, user_address start, user_address end, uint64_t new_length)
{
    return node->area.end == end && !node->area.file && range_is_good(start, new_length) &&
           area_is_free(&tree, end, start + new_length);
}

static int64_t remap_locked(user_address address, uint64_t old_length, uint64_t new_length, uint32_t flags,
                            user_address target)
{
    struct area_node *node = area_find(&tree, address);
    user_address end = address + old_length;
    if (!node || node->area.end < end) {
        return -EFAULT;
    }
    /* musl's pthread_getattr_np() measures the main stack by asking page after page to grow, until the answer
     * is not ENOMEM. On Linux the stack ends where it has been used: so it does here. */
    if ((node->area.flags & MAP_GROWSDOWN) && !commit_test(address)) {
        return -EFAULT;
    }
    if (!(flags & MREMAP_FIXED) && new_length <= old_length) {
        if (new_length < old_length) {
            unmap_locked(address + new_length, end);
        }
        return (int64_t)address;
    }
    if (!(flags & MREMAP_FIXED) && can_grow(node, address, end, new_length)) {
        node->area.end = address + new_length;
        mapped_pages += (new_length - old_length) / PAGE_SIZE;
        join_around(address, address + new_length);
        return (int64_t)address;
    }
    if (!(flags & MREMAP_MAYMOVE)) {
        return -ENOMEM;
    }
    struct area old = node->area;
    old.offset += old.file ? address - old.start : 0;
    old.start = address;
    old.end = end;
    return move_locked(old, target, new_length, flags & MREMAP_FIXED ? MAP_FIXED : 0);
}

int64_t memory_remap(user_address address, uint64_t old_length, uint64_t new_length, uint32_t flags,
                     user_address target)
{
    if (old_length > APPLICATION_END || new_length > APPLICATION_END || new_length == 0 || old_length == 0) {
        return -EINVAL;
    }
    old_length = PAGE_UP(old_length);
    new_length = PAGE_UP(new_length);
    if (!range_is_good(address, old_length)) {
        return address % PAGE_SIZE ? -EINVAL : -EFAULT;
    }
    if (flags & MREMAP_FIXED) {
        bool overlaps = target < address + old_length && address < target + new_length;
        if (!(flags & MREMAP_MAYMOVE) || !range_is_good(target, new_length) || overlaps) {
            return -EINVAL;
        }
    }
    mutex_lock(&lock);
    int64_t result = -ENOMEM;
    if (reserve_nodes()) {
        result = remap_locked(address, old_length, new_length, flags, target);
    }
    mutex_unlock(&lock);
    return result;
}

void memory_each(bool (*each)(const struct area *area, void *context), void *context)
{
    bool go_on = true;
    for (user_address at = APPLICATION_START; go_on;) {
        mutex_lock(&lock);
        struct area_node *node = area_from(&tree, at);
        struct area area = node ? node->area : (struct area){0};
        if (area.file) {
            file_upcalls.get(area.file);
        }
        mutex_unlock(&lock);
        if (!node) {
            return;
        }
        go_on = each(&area, context);
        if (area.file) {
            file_upcalls.put(area.file);
        }
        at = area.end;
    }
}

void memory_count(struct memory_counts *to)
{
    pages_count(&to->committed, &to->limit);
    to->mapped = __atomic_load_n(&mapped_pages, __ATOMIC_RELAXED);
}
