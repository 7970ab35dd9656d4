/* Memory from malloc: freed blocks must have the size they were allocated with. Nothing is mapped: pages are all at home. */
#include "shim_libos.h"

int posix_memalign(void **to, size_t alignment, size_t size);

struct file_upcalls file_upcalls;

bool space_is_shared(const struct space *space)
{
    (void)space;
    return false;
}

/* Names of contexts of asynchronous I/O, which nobody looks into. */
int64_t memory_map(user_address address, uint64_t length, uint32_t protection, uint32_t flags, struct file *file, uint64_t offset)
{
    static user_address next = 0x10000;
    (void)address, (void)protection, (void)flags, (void)file, (void)offset;
    return (int64_t)__atomic_fetch_add(&next, length, __ATOMIC_RELAXED);
}

int64_t memory_unmap(user_address address, uint64_t length)
{
    (void)address, (void)length;
    return 0;
}

/* No test here has a stack that could grow. */
int64_t memory_protect(user_address address, uint64_t length, uint32_t protection)
{
    (void)address;
    (void)length;
    (void)protection;
    return 0;
}

static size_t *header_of(void *object)
{
    return (size_t *)object - 2;
}

void *allocate(size_t size)
{
    char *block = calloc(1, size + 16);
    *(size_t *)(void *)block = size;
    return block + 16;
}

void release(void *object, size_t size)
{
    if (object != NULL) {
        if (*header_of(object) != size) {
            printf("release(): %zu bytes of %zu\n", size, *header_of(object));
            fflush(NULL);
            __builtin_trap();
        }
        free(header_of(object));
    }
}

void *reallocate(void *object, size_t old_size, size_t new_size)
{
    void *fresh = allocate(new_size);
    memcpy(fresh, object, old_size < new_size ? old_size : new_size);
    release(object, old_size);
    return fresh;
}

void *pages_allocate(size_t count)
{
    void *pages = NULL;
    if (posix_memalign(&pages, PAGE_SIZE, count * PAGE_SIZE) != 0) {
        return NULL;
    }
    return memset(pages, 0, count * PAGE_SIZE);
}

void pages_release(void *first, size_t count)
{
    (void)count;
    free(first);
}

int64_t space_visit(struct space *space)
{
    (void)space;
    return 0;
}

void space_end_visit(struct space *own)
{
    (void)own;
}

void space_go_away(void)
{
}

void memory_count_space(const struct space *space, struct space_counts *counts)
{
    (void)space;
    *counts = (struct space_counts){.mapped = 2000, .resident = 1000};
}

void pages_count(uint64_t *committed, uint64_t *limit)
{
    *committed = 0;
    *limit = 1 << 18;
}

uint64_t pages_peak(void)
{
    return 1;
}

void memory_count_area(const struct area *area, struct area_counts *counts)
{
    (void)area;
    *counts = (struct area_counts){0};
}

void memory_look_at_pages(user_address start, uint8_t *states, size_t count)
{
    (void)start;
    memset(states, 0, count);
}

bool heap_is_in(const struct area *area)
{
    (void)area;
    return false;
}

void memory_set_limits(const struct memory_limits *limits)
{
    (void)limits;
}

void lock_memory(void)
{
    __builtin_trap();
}

void unlock_memory(void)
{
    __builtin_trap();
}

bool has_memory_lock(void)
{
    return false;
}

void commit_remove(user_address start, user_address end)
{
    (void)start, (void)end;
    __builtin_trap();
}

int64_t holder_bring_home(struct shared_object *object, uint64_t first, uint64_t end, bool writes)
{
    (void)object, (void)first, (void)end, (void)writes;
    __builtin_trap();
}

uint8_t *holder_change(struct shared_object *object, uint64_t page)
{
    (void)object, (void)page;
    __builtin_trap();
}

int64_t object_write_back(struct shared_object *object, uint64_t first, uint64_t end)
{
    (void)object, (void)first, (void)end;
    return 0;
}

void memory_each(const struct space *space, bool (*each)(const struct area *area, void *context), void *context)
{
    (void)space;
    struct area area = {
        .start = 0x400000, .end = 0x500000, .protection = PROT_READ | PROT_EXEC, .flags = MAP_PRIVATE};
    each(&area, context);
}

void memory_write_back(void)
{
}

void memory_count(const struct space *space, struct memory_counts *counts)
{
    (void)space;
    *counts = (struct memory_counts){.limit = 65536, .committed = 1000, .mapped = 2000};
}

/* User copies: any address is the application's, but the first page. */
static bool is_user(user_address address, size_t size)
{
    return size == 0 || address >= PAGE_SIZE;
}

size_t copy_some_from_user(void *to, user_address from, size_t size)
{
    if (!is_user(from, size)) {
        return 0;
    }
    memcpy(to, (const void *)(uintptr_t)from, size);
    return size;
}

size_t copy_some_to_user(user_address to, const void *from, size_t size)
{
    if (!is_user(to, size)) {
        return 0;
    }
    memcpy((void *)(uintptr_t)to, from, size);
    return size;
}

int copy_from_user(void *to, user_address from, size_t size)
{
    return copy_some_from_user(to, from, size) == size ? 0 : -EFAULT;
}

int copy_to_user(user_address to, const void *from, size_t size)
{
    return copy_some_to_user(to, from, size) == size ? 0 : -EFAULT;
}

bool user_is_writable(user_address address)
{
    return is_user(address, 1);
}

int64_t strncpy_from_user(char *to, user_address from, size_t size)
{
    if (!is_user(from, 1)) {
        return -EFAULT;
    }
    size_t length = strnlen((const char *)(uintptr_t)from, size);
    if (length == size) {
        return -ENAMETOOLONG;
    }
    memcpy(to, (const char *)(uintptr_t)from, length + 1);
    return (int64_t)length;
}

int64_t iovec_import(struct iovec *to, user_address from, uint64_t count)
{
    int64_t sum = 0;
    if (copy_from_user(to, from, count * sizeof(*to)) < 0) {
        return -EFAULT;
    }
    for (uint64_t at = 0; at < count; at++) {
        sum += (int64_t)to[at].length;
    }
    return sum;
}
