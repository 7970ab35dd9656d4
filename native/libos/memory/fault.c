/* Page faults: pages of anonymous areas and of measured files come when they are touched. */
#include "memory/object.h"
#include "memory/turns.h"

#define FAULT_AROUND 0x10000ULL /* aligned block that one fault brings */
#define FAULT_AROUND_MAX 0x200000ULL /* what a fault brings of memory that is touched from its start to its end, unless the configuration says otherwise */
#define SHARE_AHEAD 64U /* at most this part of the memory that is left comes before it is touched */
#define STREAMS 8U

static uint64_t around_max = FAULT_AROUND_MAX;

void memory_set_fault_around(uint64_t bytes)
{
    around_max = bytes < PAGE_SIZE ? PAGE_SIZE : PAGE_DOWN(bytes);
}

/* Faults that follow one another: the next one is expected at `next`, and brings twice as much as the last. On hardware a fault costs an asynchronous exit, an
 * entry and an OCALL; a page that comes with it costs no transition. Under the memory lock. */
static struct stream {
    user_address next;
    uint64_t size;
} streams[STREAMS];

static struct stream *stream_at(user_address page)
{
    static size_t turn;
    for (size_t index = 0; index < STREAMS; index++) {
        if (streams[index].next == page) {
            return &streams[index];
        }
    }
    struct stream *stream = &streams[turn++ % STREAMS];
    *stream = (struct stream){0};
    return stream;
}

/* How much of what follows may come with the page. */
static uint64_t most_ahead(void)
{
    uint64_t committed, limit;
    pages_count(&committed, &limit);
    uint64_t left = limit > committed ? (limit - committed) / SHARE_AHEAD * PAGE_SIZE : 0;
    return left < around_max ? left : around_max;
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

struct range {
    user_address start, end;
};

/* The missing pages around one, within the block and the area. */
static struct range missing_around(const struct area *area, user_address page)
{
    user_address start = page & ~(FAULT_AROUND - 1);
    user_address end = start + FAULT_AROUND;
    start = start > area->start ? start : area->start;
    end = end < area->end ? end : area->end;
    bool committed;
    for (user_address next = start; next <= page; next = commit_run(next, end, &committed)) {
        start = next; /* the run of missing pages that holds the page */
    }
    return (struct range){start, commit_run(start, end, &committed)};
}

/* The block around a page of an anonymous area, and more where the last faults were just before it; only that page when memory is short. */
static int64_t fault_in(const struct area *area, user_address page)
{
    struct range range = missing_around(area, page);
    struct stream *stream = stream_at(range.start);
    uint64_t size = stream->size * 2, most = most_ahead();
    size = size < most ? size : most;
    if (size > range.end - range.start && size > page - range.start) {
        bool committed;
        user_address end = range.start + size;
        range.end = commit_run(range.start, end < area->end ? end : area->end, &committed);
    }
    *stream = (struct stream){.next = range.end, .size = range.end - range.start};
    if (versions_add(area->space, range.start, range.end)) {
        range = (struct range){page, page + PAGE_SIZE};
        if (versions_add(area->space, range.start, range.end)) {
            return -ENOMEM;
        }
    }
    commit_protect(range.start, range.end, PROT_READ | PROT_WRITE, area->protection);
    return 0;
}

static bool has_others;

void memory_is_not_alone(void)
{
    __atomic_store_n(&has_others, true, __ATOMIC_RELAXED);
}

/* New pages with this content. No other thread sees a page before it has its content. */
static int64_t add_with_content(const struct area *area, struct range range, const uint8_t *content)
{
    if (versions_add_pending(area->space, range.start, range.end)) {
        return -ENOMEM;
    }
    uint32_t rights = area->protection | PROT_READ; /* SGX has no page that cannot be read but can be used otherwise */
    for (user_address page = range.start; page < range.end; page += PAGE_SIZE) {
        if (enclave_accept_copy(page, content + (page - range.start), rights)) {
            fatal("the host did not add memory at 0x%lx", page);
        }
    }
    if ((rights & PROT_EXEC) && host_memory_protect(range.start, range.end - range.start, rights)) {
        fatal("the host did not change the protection of memory at 0x%lx", range.start);
    }
    return 0;
}

/* Verified content of the pages that the file reaches, and zeros behind its end there -> the end of these pages. */
static int64_t read_pages(const struct area *area, struct range range, uint8_t *to)
{
    int64_t got = file_upcalls.read_measured(area->file, to, range.end - range.start, area->offset + (range.start - area->start));
    if (got < 0) {
        return got;
    }
    uint64_t length = PAGE_UP((uint64_t)got);
    memset(to + got, 0, length - (uint64_t)got);
    return (int64_t)(range.start + length);
}

/* Nobody but the only thread could see the pages before they have their content: it is read into them. */
static int64_t read_in_place(const struct area *area, struct range range)
{
    if (versions_add(area->space, range.start, range.end)) {
        return -ENOMEM;
    }
    int64_t end = read_pages(area, range, (uint8_t *)range.start);
    user_address kept = end < 0 ? range.start : (user_address)end;
    commit_remove(kept, range.end);
    commit_protect(range.start, kept, PROT_READ | PROT_WRITE, area->protection);
    return end;
}

static int64_t read_aside(const struct area *area, struct range range)
{
    static uint8_t *block; /* used under the memory lock alone */
    if (!block && !(block = pages_allocate(FAULT_AROUND / PAGE_SIZE))) {
        return -ENOMEM;
    }
    int64_t end = read_pages(area, range, block);
    if (end <= (int64_t)range.start) {
        return end;
    }
    range.end = (user_address)end;
    int64_t error = add_with_content(area, range, block);
    return error ? error : end;
}

/* The block around a page of a measured file. Behind the end of the file there is nothing (SIGBUS). */
static int64_t read_in(const struct area *area, user_address page)
{
    struct range range = missing_around(area, page);
    bool is_alone = !__atomic_load_n(&has_others, __ATOMIC_RELAXED);
    int64_t end = is_alone ? read_in_place(area, range) : read_aside(area, range);
    if (end < 0) {
        return end;
    }
    return (user_address)end > page ? 0 : -EIO;
}

#define SAME_FAULTS_MAX 500U

/* The thread's exceptions are one after the other for a page that is there, with all rights: an honest host lets it use the page at one of the next tries. */
static bool is_kept_back(user_address page)
{
    struct thread *thread = current_thread();
    bool is_same = thread->same_fault.page == page && thread->exceptions == thread->same_fault.exceptions + 1;
    thread->same_fault.page = page;
    thread->same_fault.exceptions = thread->exceptions;
    thread->same_fault.times = is_same ? thread->same_fault.times + 1 : 0;
    if (thread->same_fault.times < SAME_FAULTS_MAX) {
        return false;
    }
    thread->same_fault.times = 0;
    log_line(LOG_ERROR, "the host keeps the page at 0x%lx back", page);
    return true;
}

static int64_t serve(const struct area *area, user_address page, enum fault_access access)
{
    if (area->object) {
        return shared_fault(area, page, access);
    }
    if (commit_test(page)) { /* else another thread was faster */
        if (access == FAULT_WRITE && commit_is_frozen(page)) {
            return versions_thaw(area, page);
        }
        return is_kept_back(page) ? -EIO : 0;
    }
    if (area->flags & MAP_ON_TOUCH) {
        return read_in(area, page);
    }
    return area->file ? -EIO : fault_in(area, page);
}

static bool is_behind_its_file(const struct area *area, uint64_t offset)
{
    struct file_facts facts = {0};
    if (area->file) {
        file_upcalls.describe(area->file, &facts);
    }
    return area->file && offset >= facts.size;
}

/* Why a page does not come: the application hears no more of it than SIGBUS, or EFAULT. */
static void tell_reason(const struct area *area, user_address page, int64_t error)
{
    if (error == -ENOMEM) {
        log_line(LOG_ERROR, "out of enclave memory: the image is built for less (see --set memory)");
    } else if (error && error != -EAGAIN && log_enabled(LOG_DEBUG)) {
        uint64_t offset = area->offset + (page - area->start);
        log_line(LOG_DEBUG, "the page at 0x%lx does not come (errno %d): %s mapping at 0x%lx, offset 0x%lx%s", page, (int)-error,
                 area->object ? "shared" : area->file ? "private" : "anonymous", area->start, offset,
                 is_behind_its_file(area, offset) ? " behind the end of its file" : "");
    }
}

static int64_t fault_locked(user_address page, enum fault_access access)
{
    if (!area_find(&areas, page) && grow_down(page)) {
        return -EFAULT;
    }
    struct area_node *node = find_own(current_space(), page);
    if (!node) {
        return -EFAULT;
    }
    if (!access_is_allowed(node->area.protection, access)) {
        return -EACCES;
    }
    int64_t error = serve(&node->area, page, access);
    tell_reason(&node->area, page, error);
    return error;
}

/* Two threads that store through two views of a page take turns: who has got it is let use it before it is taken away again. */
#define SPINS_BETWEEN_VIEWS 2000

static void let_others_use_it(void)
{
    host_yield();
    for (unsigned spins = 0; spins < SPINS_BETWEEN_VIEWS; spins++) {
        __builtin_ia32_pause();
    }
}

int64_t memory_fault(user_address address, enum fault_access access)
{
    bool is_own_fault = has_memory_lock(); /* only a host that takes away what is there makes the LibOS fault here */
    if (address < APPLICATION_START || address >= APPLICATION_END || is_own_fault) {
        return -EFAULT;
    }
    for (;;) {
        lock_space();
        int64_t result = fault_locked(PAGE_DOWN(address), access);
        unlock_memory();
        if (result != -EAGAIN) {
            return result;
        }
        let_others_use_it();
    }
}
