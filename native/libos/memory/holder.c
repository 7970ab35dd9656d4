/* Who has an object's page: moving it between home and views, its rights, and what of it was stored to. Both locks are held. */
#include "memory/object.h"

#define AROUND 0x10000ULL /* aligned block that one fault may bring */
#define AROUND_PAGES (AROUND / PAGE_SIZE)

static void need(int error, user_address address)
{
    if (error) {
        fatal("the host did not change the memory of a shared mapping at 0x%lx", address);
    }
}

/* Take rights from `count` pages of a view which have the same. */
static void restrict_run(struct shared_object *object, uint64_t first, uint64_t count, uint32_t rights)
{
    user_address address = place_address(*page_index_find(&object->pages, first));
    need(host_memory_restrict(address, count * PAGE_SIZE, rights), address);
    need(enclave_accept_restricted(address, count * PAGE_SIZE, rights), address);
    for (uint64_t page = first; page < first + count; page++) {
        uint64_t *place = page_index_find(&object->pages, page);
        *place = (*place & ~(uint64_t)(PLACE_RIGHTS | PLACE_OPEN)) | rights | (rights & PROT_WRITE ? PLACE_OPEN : 0);
    }
}

static void extend_run(struct shared_object *object, uint64_t first, uint64_t count, uint32_t rights)
{
    uint64_t old = *page_index_find(&object->pages, first);
    user_address address = place_address(old);
    enclave_extend(address, count * PAGE_SIZE, rights);
    bool tables_do = (old & PLACE_OPEN) && !(rights & PROT_EXEC);
    if (!tables_do) {
        need(host_memory_protect(address, count * PAGE_SIZE, rights), address);
    }
    for (uint64_t page = first; page < first + count; page++) {
        uint64_t *place = page_index_find(&object->pages, page);
        *place = (*place & ~(uint64_t)PLACE_RIGHTS) | rights;
        *place = rights & PROT_WRITE ? *place | PLACE_OPEN : tables_do ? *place : *place & ~(uint64_t)PLACE_OPEN;
    }
}

static void set_rights(struct shared_object *object, uint64_t first, uint64_t count, uint32_t rights)
{
    uint32_t old = *page_index_find(&object->pages, first) & PLACE_RIGHTS;
    if (old & ~rights) {
        restrict_run(object, first, count, old & rights);
    }
    if (rights & ~old) {
        extend_run(object, first, count, rights);
    }
}

/* From here on nobody stores to these pages of a view, and they can be read. */
static void freeze(struct shared_object *object, uint64_t first, uint64_t count)
{
    uint32_t rights = *page_index_find(&object->pages, first) & PLACE_RIGHTS;
    set_rights(object, first, count, (rights & ~(uint32_t)PROT_WRITE) | PROT_READ);
}

/* A page of the LibOS for one that will be given back. */
static void *allocate_home(void)
{
    pages_lend(1);
    void *home = pages_allocate(1);
    pages_lend(-1);
    return home;
}

/* What is known of a page wherever it goes. */
#define KEPT (PLACE_CHANGED | PLACE_UNUSED)

/* A run of a view. On failure the first ones have been moved. */
static int64_t move_home(struct shared_object *object, uint64_t first, uint64_t count)
{
    user_address address = place_address(*page_index_find(&object->pages, first));
    uint64_t done = 0;
    freeze(object, first, count);
    for (void *home; done < count && (home = allocate_home()); done++) {
        uint64_t *place = page_index_find(&object->pages, first + done);
        memcpy(home, (const void *)(address + done * PAGE_SIZE), PAGE_SIZE);
        *place = (uint64_t)home | (*place & KEPT);
    }
    commit_remove(address, address + done * PAGE_SIZE);
    return done == count ? 0 : -ENOMEM;
}

int64_t holder_bring_home(struct shared_object *object, uint64_t first, uint64_t end, bool writes)
{
    const uint64_t *place;
    int64_t error = 0;
    for (; !error && (place = page_index_next(&object->pages, &first, end)); first++) {
        if (!place_is_reachable(*place, writes)) {
            error = move_home(object, first, 1);
        }
    }
    return error;
}

void holder_vacate(const struct area *area, user_address start, user_address end)
{
    struct shared_object *object = area->object;
    uint64_t page = page_in_object(area, start), last = page_in_object(area, end);
    const uint64_t *place;
    for (uint64_t next; (place = page_index_next(&object->pages, &page, last)); page = next) {
        next = page + 1;
        if (place_address(*place) != start + (page - page_in_object(area, start)) * PAGE_SIZE) {
            continue; /* another has it */
        }
        next = object_run(object, page, last);
        for (uint64_t at = page; at < next; at++) { /* as far as all are changed, or none */
            if ((*page_index_find(&object->pages, at) ^ *place) & PLACE_CHANGED) {
                next = at;
            }
        }
        if (!(*place & PLACE_CHANGED)) {
            object_drop(object, page, next);
        } else if (move_home(object, page, next - page)) {
            fatal("out of enclave memory while a shared mapping ends");
        }
    }
}

static uint64_t size_of(struct shared_object *object, uint64_t wanted)
{
    return object->operations->size ? object->operations->size(object, wanted) : object->size;
}

/* What a view's page may have in the EPCM. A page that is tracked gets the right to be stored to with the first store. */
static uint32_t rights_in(const struct area *area, uint32_t protection, bool changed)
{
    uint32_t rights = protection & ACCESS_MASK ? (protection & ACCESS_MASK) | PROT_READ : 0;
    return area->object->operations->write && !changed ? rights & ~(uint32_t)PROT_WRITE : rights;
}

enum where { ABSENT, HOME, VIEW };

static enum where where_is(const struct shared_object *object, uint64_t page)
{
    const uint64_t *place = page_index_find(&object->pages, page);
    return !place || !*place ? ABSENT : place_is_view(*place) ? VIEW : HOME;
}

/* Pages that are to come into a view together: from the same kind of place. */
struct batch {
    uint64_t first, count;
    user_address address;
    user_address touched; /* the one that is wanted */
};

/* Around the page, as far as the block, the area and the object reach. */
static struct batch batch_around(const struct area *area, user_address page, uint64_t object_pages)
{
    const struct shared_object *object = area->object;
    uint64_t index = page_in_object(area, page);
    struct batch batch = {index, 1, page, page};
    user_address low = page & ~(AROUND - 1), high = low + AROUND;
    low = low > area->start ? low : area->start;
    high = high < area->end ? high : area->end;
    enum where kind = where_is(object, index);
    if (kind == VIEW) {
        return batch;
    }
    while (batch.address > low && batch.first > 0 && where_is(object, batch.first - 1) == kind) {
        batch.first--;
        batch.count++;
        batch.address -= PAGE_SIZE;
    }
    while (batch.address + batch.count * PAGE_SIZE < high && batch.first + batch.count < object_pages &&
           where_is(object, batch.first + batch.count) == kind) {
        batch.count++;
    }
    return batch;
}

/* The contents of absent pages. The block is used under the memory lock alone. */
static int64_t read_absent(struct shared_object *object, const struct batch *batch, const uint8_t **content)
{
    static uint8_t *block;
    if (!block && !(block = pages_allocate(AROUND_PAGES))) {
        return -ENOMEM;
    }
    *content = block;
    return object->operations->read(object, batch->first * PAGE_SIZE, block, batch->count * PAGE_SIZE);
}

/* Those that lie one behind the other go together. */
static void release_homes(const user_address *homes, uint64_t count)
{
    for (uint64_t first = 0, next; first < count; first = next) {
        next = first + 1;
        while (next < count && homes[next] == homes[next - 1] + PAGE_SIZE) {
            next++;
        }
        pages_release((void *)homes[first], next - first);
    }
}

/* What was added becomes pages of the view, each with its content and its rights at once. */
static int64_t accept_batch(const struct area *area, const struct batch *batch, bool from_home, uint32_t rights)
{
    static const uint8_t zeros[PAGE_SIZE] __attribute__((aligned(4096)));
    struct shared_object *object = area->object;
    bool changed = rights & PROT_WRITE;
    const uint8_t *content = NULL;
    user_address homes[AROUND_PAGES];
    if (!from_home && object->operations->read) {
        int64_t error = read_absent(object, batch, &content);
        if (error) {
            return error;
        }
    }
    pages_lend((int64_t)batch->count);
    int error = commit_add_pending(batch->address, batch->address + batch->count * PAGE_SIZE);
    pages_lend(-(int64_t)batch->count);
    if (error) {
        return error;
    }
    if (!from_home && !content && rights == (PROT_READ | PROT_WRITE)) {
        need(enclave_accept(batch->address, batch->count * PAGE_SIZE), batch->address);
    }
    bool is_new = !from_home && !content && batch->count > 1;
    object->has_nearby |= is_new;
    object_count_pages(object, from_home ? 0 : is_new ? 1 : (int64_t)batch->count);
    for (uint64_t at = 0; at < batch->count; at++) {
        user_address address = batch->address + at * PAGE_SIZE;
        uint64_t *place = page_index_find(&object->pages, batch->first + at);
        uint64_t old = *place;
        if (from_home) {
            need(enclave_accept_copy(address, (const void *)place_address(old), rights), address);
        } else if (content || rights != (PROT_READ | PROT_WRITE)) {
            need(enclave_accept_copy(address, content ? content + at * PAGE_SIZE : zeros, rights), address);
        }
        *place = address | rights | PLACE_OPEN | (old & KEPT) | (changed ? PLACE_CHANGED : 0);
        if (address != batch->touched) {
            *place |= is_new ? PLACE_NEARBY : 0;
        } else {
            object_use_page(object, place);
        }
        homes[at] = place_address(old);
    }
    if (from_home) {
        release_homes(homes, batch->count);
    }
    if (rights & PROT_EXEC) { /* the page tables know nothing of it yet */
        extend_run(object, batch->first, batch->count, rights);
    }
    return 0;
}

/* So that nothing has to stop half-way for want of a word. */
static bool make_places(struct shared_object *object, const struct batch *batch)
{
    for (uint64_t at = 0; at < batch->count; at++) {
        if (!page_index_make(&object->pages, batch->first + at)) {
            return false;
        }
    }
    return true;
}

static int64_t bring(const struct area *area, const struct batch *batch, enum fault_access access)
{
    struct shared_object *object = area->object;
    enum where kind = where_is(object, batch->first);
    if (!make_places(object, batch)) {
        return -ENOMEM;
    }
    if (kind == VIEW) {
        /* by way of home: were it in both views for a moment, a thread could store to one and read what was before from the other */
        int64_t error = move_home(object, batch->first, 1);
        if (error) {
            return error;
        }
    }
    /* a batch that is tracked is unchanged, or one page */
    bool changed = access == FAULT_WRITE || (*page_index_find(&object->pages, batch->first) & PLACE_CHANGED);
    int64_t error = accept_batch(area, batch, kind != ABSENT, rights_in(area, area->protection, changed));
    if (!error && kind == VIEW) {
        *page_index_find(&object->pages, batch->first) |= PLACE_FRESH;
    }
    return error;
}

int64_t holder_take(const struct area *area, user_address page, enum fault_access access)
{
    struct shared_object *object = area->object;
    uint64_t index = page_in_object(area, page);
    uint64_t object_pages = PAGE_UP(size_of(object, index * PAGE_SIZE + 1)) / PAGE_SIZE;
    if (index >= object_pages) {
        return -EIO;
    }
    uint64_t *place = page_index_find(&object->pages, index);
    if (place && place_address(*place) == page) {
        uint32_t rights = rights_in(area, area->protection, access == FAULT_WRITE || (*place & PLACE_CHANGED));
        object_use_page(object, place);
        *place |= access == FAULT_WRITE ? PLACE_CHANGED : 0;
        set_rights(object, index, 1, rights);
        return 0;
    }
    if (place && place_is_view(*place) && (*place & PLACE_FRESH) && object->mover != current_thread()) {
        *place &= ~(uint64_t)PLACE_FRESH;
        return -EAGAIN;
    }
    object->mover = current_thread();
    struct batch batch = batch_around(area, page, object_pages);
    const struct batch one = {index, 1, page, page};
    bool is_tracked_store = object->operations->write && (access == FAULT_WRITE || where_is(object, index) != ABSENT);
    if (is_tracked_store || batch.count == 1) {
        return bring(area, &one, access);
    }
    int64_t error = bring(area, &batch, access);
    return error ? bring(area, &one, access) : 0; /* what is around it may be broken, or too much */
}

void holder_protect(const struct area *area, user_address start, user_address end, uint32_t protection)
{
    struct shared_object *object = area->object;
    uint64_t first = page_in_object(area, start), last = page_in_object(area, end);
    const uint64_t *place;
    for (uint64_t page = first, next; (place = page_index_next(&object->pages, &page, last)); page = next) {
        next = page + 1;
        if (place_address(*place) != start + (page - first) * PAGE_SIZE) {
            continue;
        }
        bool changed = *place & PLACE_CHANGED;
        if (!object->operations->write) {
            changed = true;
            next = object_run(object, page, last);
        }
        uint32_t rights = rights_in(area, protection, changed);
        set_rights(object, page, next - page, rights);
        for (uint64_t at = page; (rights & PROT_WRITE) && at < next; at++) {
            *page_index_find(&object->pages, at) |= PLACE_CHANGED;
        }
    }
}

uint8_t *holder_change(struct shared_object *object, uint64_t page)
{
    uint64_t *place = page_index_find(&object->pages, page);
    if (!place || !*place) {
        return NULL;
    }
    if (!place_is_reachable(*place, true) && move_home(object, page, 1)) {
        fatal("out of enclave memory while a shared mapping is changed");
    }
    *place |= PLACE_CHANGED;
    return (uint8_t *)place_address(*place);
}

static uint64_t changed_run(struct shared_object *object, uint64_t first, uint64_t end)
{
    if (place_is_view(*page_index_find(&object->pages, first))) {
        end = object_run(object, first, end);
    } else {
        end = first + 1;
    }
    uint64_t next = first + 1;
    while (next < end && (*page_index_find(&object->pages, next) & PLACE_CHANGED)) {
        next++;
    }
    return next;
}

static int64_t write_run(struct shared_object *object, uint64_t first, uint64_t next, uint64_t size)
{
    uint64_t place = *page_index_find(&object->pages, first), offset = first * PAGE_SIZE;
    if (place_is_view(place)) {
        freeze(object, first, next - first);
    }
    uint64_t length = (next - first) * PAGE_SIZE;
    length = offset >= size ? 0 : length < size - offset ? length : size - offset;
    for (uint64_t done = 0; done < length;) {
        int64_t result = object->operations->write(object, offset + done, (const uint8_t *)place_address(place) + done,
                                                   length - done);
        if (result <= 0) {
            return result ? result : -EIO;
        }
        done += (uint64_t)result;
    }
    for (uint64_t page = first; page < next; page++) {
        *page_index_find(&object->pages, page) &= ~(uint64_t)PLACE_CHANGED;
    }
    return 0;
}

int64_t holder_write_back(struct shared_object *object, uint64_t first, uint64_t end)
{
    int64_t result = 0;
    uint64_t size = size_of(object, 0);
    const uint64_t *place;
    for (uint64_t next; (place = page_index_next(&object->pages, &first, end)); first = next) {
        next = first + 1;
        if (*place & PLACE_CHANGED) {
            /* what its view may not read must not become readable there */
            int64_t error = place_is_reachable(*place, false) ? 0 : move_home(object, first, 1);
            next = changed_run(object, first, end);
            error = error ? error : write_run(object, first, next, size);
            result = result ? result : error;
        }
    }
    return result;
}
