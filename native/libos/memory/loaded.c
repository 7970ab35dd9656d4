/* See loaded.h. */
#include "memory/loaded.h"

#include "memory/turns.h"

#define PIECES_MAX 6U   /* parts of an object that are kept: texts and constants */
#define KEPT_MAX 64U    /* objects that nobody has */
#define KEPT_SHARE 8U   /* they take this part of the enclave's memory at most, */
#define KEPT_PAGES 8192U /* and 32 MiB */

struct piece {
    user_address start, end;
    uint64_t offset; /* in the file */
    uint32_t protection, flags;
    user_address trampolines, trampolines_end; /* an area of its own, nearby */
    bool waits; /* its pages are there, and no area of the program has them yet */
};

struct loaded {
    struct loaded *next; /* of the space; of those that nobody has: from the newest on */
    uint64_t device, inode;
    user_address start, end;
    uint64_t pages; /* in its pieces, while nobody has it */
    uint32_t count;
    struct piece pieces[PIECES_MAX];
};

/* Whose areas hold the addresses of objects that nobody has. */
static struct space nobody = {.references = 1, .limits = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
static struct loaded *kept;
static uint32_t kept_count;
static uint64_t kept_pages;

#define EACH_PIECE(piece, loaded) \
    for (struct piece *(piece) = (loaded)->pieces; (piece) < (loaded)->pieces + (loaded)->count; (piece)++)

static bool overlaps(user_address start, user_address end, user_address other, user_address other_end)
{
    return start < other_end && other < end;
}

static bool is_of_file(const struct loaded *loaded, struct file *file)
{
    struct file_facts facts;
    file_upcalls.describe(file, &facts);
    return loaded->device == facts.device && loaded->inode == facts.inode;
}

static uint64_t count_committed(user_address start, user_address end)
{
    uint64_t pages = 0;
    bool committed;
    for (user_address next; start < end; start = next) {
        next = commit_run(start, end, &committed);
        pages += committed ? (next - start) / PAGE_SIZE : 0;
    }
    return pages;
}

static void add_area(struct space *space, user_address start, user_address end)
{
    struct area_node *node = take_node();
    node->area = (struct area){.space = space, .start = start, .end = end, .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_PRISTINE};
    area_insert(&areas, node);
}

/* The area that is nobody's and begins there; its pages are left alone. */
static void remove_area(user_address start)
{
    struct area_node *node = area_find(&areas, start);
    area_remove(&areas, node);
    note_gap(node->area.end);
    drop_node(node);
}

/* Objects that nobody has. */

static void drop_kept(struct loaded **link)
{
    struct loaded *loaded = *link;
    *link = loaded->next;
    EACH_PIECE (piece, loaded) {
        commit_remove_spare(piece->start, piece->end);
        if (piece->trampolines) {
            commit_remove_spare(piece->trampolines, piece->trampolines_end);
            remove_area(piece->trampolines);
        }
    }
    remove_area(loaded->start);
    kept_count--;
    kept_pages -= loaded->pages;
    release(loaded, sizeof *loaded);
}

bool loaded_drop_oldest(void)
{
    struct loaded **link = &kept;
    while (*link && (*link)->next) {
        link = &(*link)->next;
    }
    if (!*link) {
        return false;
    }
    drop_kept(link);
    return true;
}

static bool is_in_the_way(const struct loaded *loaded, user_address start, user_address end)
{
    bool found = overlaps(loaded->start, loaded->end, start, end);
    for (uint32_t i = 0; i < loaded->count && !found; i++) {
        found = overlaps(loaded->pieces[i].trampolines, loaded->pieces[i].trampolines_end, start, end);
    }
    return found;
}

void loaded_make_way(user_address start, user_address end)
{
    for (struct loaded **link = &kept; *link;) {
        if (is_in_the_way(*link, start, end)) {
            drop_kept(link);
        } else {
            link = &(*link)->next;
        }
    }
}

/* It would stay in place, whoever is resident. */
static bool is_beyond_turns(const struct loaded *loaded, const struct space *space)
{
    return !space->residence.turns || loaded->start >= turns_end(space);
}

static bool has_room_behind(const struct loaded *loaded, uint64_t room)
{
    const struct area_node *next = area_from(&areas, loaded->end);
    return !turns_find_absent(current_space(), loaded->start, loaded->end + room) &&
           (!next || next->area.start >= loaded->end + room);
}

user_address loaded_take(struct file *file, user_address start, uint64_t length, uint64_t room)
{
    struct space *space = current_space();
    if (!file_upcalls.is_measured(file)) {
        return 0;
    }
    struct loaded **link = &kept;
    while (*link && ((*link)->end - (*link)->start != length || (start && (*link)->start != start) || !is_of_file(*link, file) ||
                     !is_beyond_turns(*link, space) || !has_room_behind(*link, room))) {
        link = &(*link)->next;
    }
    struct loaded *loaded = *link;
    if (!loaded || !pages_use_spare(loaded->pages)) {
        return 0;
    }
    *link = loaded->next;
    kept_count--;
    kept_pages -= loaded->pages;
    remove_area(loaded->start);
    EACH_PIECE (piece, loaded) {
        piece->waits = true;
        if (piece->trampolines) {
            area_find(&areas, piece->trampolines)->area.space = space;
            space->mapped_pages += (piece->trampolines_end - piece->trampolines) / PAGE_SIZE;
        }
    }
    loaded->next = space->loaded;
    space->loaded = loaded;
    return loaded->start;
}

/* Objects of a program. */

void loaded_note(struct file *file, user_address start, user_address end)
{
    struct loaded *loaded = file_upcalls.is_measured(file) ? allocate(sizeof *loaded) : NULL;
    if (loaded) { /* else the next program loads it anew */
        struct file_facts facts;
        file_upcalls.describe(file, &facts);
        *loaded = (struct loaded){.next = current_space()->loaded, .device = facts.device, .inode = facts.inode, .start = start, .end = end};
        current_space()->loaded = loaded;
    }
}

static struct loaded *find_loaded(const struct area *area)
{
    struct loaded *loaded = area->space->loaded;
    while (loaded && (area->start < loaded->start || area->end > loaded->end || !is_of_file(loaded, area->file))) {
        loaded = loaded->next;
    }
    return loaded;
}

void loaded_note_text(const struct area *text, user_address trampolines, user_address trampolines_end)
{
    struct loaded *loaded = find_loaded(text);
    if (!loaded) {
        return;
    }
    struct piece *piece = loaded->pieces;
    while (piece < loaded->pieces + loaded->count && piece->start != text->start) {
        piece++;
    }
    if (piece == loaded->pieces + PIECES_MAX) {
        return;
    }
    loaded->count += piece == loaded->pieces + loaded->count;
    *piece = (struct piece){.start = text->start, .end = text->end, .trampolines = trampolines, .trampolines_end = trampolines_end};
}

static bool is_same(const struct piece *piece, const struct area *area)
{
    return piece->waits && piece->start == area->start && piece->end == area->end && piece->offset == area->offset &&
           piece->protection == area->protection && !((piece->flags ^ area->flags) & MAP_ON_TOUCH);
}

bool loaded_adopt(const struct area *area)
{
    struct loaded *loaded = area->flags & MAP_PRISTINE ? find_loaded(area) : NULL;
    for (uint32_t i = 0; loaded && i < loaded->count; i++) {
        struct piece *piece = &loaded->pieces[i];
        if (is_same(piece, area)) {
            piece->waits = false;
            return true;
        }
    }
    return false;
}

/* The area over it has the same content there, and the same rights: they are its pages already. */
static bool is_covered(const struct piece *piece, const struct space *space)
{
    const struct area_node *node = find_own(space, piece->start);
    return node && node->area.file && (node->area.flags & MAP_PRISTINE) && node->area.end >= piece->end &&
           node->area.protection == piece->protection && !(piece->protection & PROT_EXEC) &&
           node->area.offset + (piece->start - node->area.start) == piece->offset;
}

static void settle(struct piece *piece, struct space *space)
{
    if (!piece->waits) {
        return;
    }
    struct piece old = *piece;
    *piece = (struct piece){0};
    if (!is_covered(&old, space)) {
        commit_remove(old.start, old.end);
    }
    if (old.trampolines) {
        unmap_locked(space, old.trampolines, old.trampolines_end);
    }
}

void loaded_settle(struct space *space, user_address start, user_address end)
{
    for (struct loaded *loaded = space->loaded; loaded; loaded = loaded->next) {
        EACH_PIECE (piece, loaded) {
            if (overlaps(piece->start, piece->end, start, end)) {
                settle(piece, space);
            }
        }
    }
}

/* Leaving. */

static bool is_all_own(const struct loaded *loaded, const struct space *space)
{
    const struct area_node *node = area_from(&areas, loaded->start);
    while (node && node->area.start < loaded->end && node->area.space == space) {
        node = area_from(&areas, node->area.end);
    }
    return !node || node->area.start >= loaded->end;
}

/* The trampolines of a text go with it; nobody has touched either. */
static bool take_trampolines(const struct piece *text, struct space *space)
{
    if (!text->trampolines) {
        return true;
    }
    struct area_node *node = find_own(space, text->trampolines);
    if (!node || node->area.start != text->trampolines || node->area.end != text->trampolines_end || !(node->area.flags & MAP_PRISTINE)) {
        return false;
    }
    commit_thaw(node->area.start, node->area.end, node->area.protection);
    node->area.space = &nobody;
    space->mapped_pages -= (node->area.end - node->area.start) / PAGE_SIZE;
    return true;
}

/* What was noted of the text; NULL: it has been cut. One that is read when it is touched is not patched. */
static const struct piece *find_text(const struct loaded *loaded, const struct area *area)
{
    static const struct piece not_patched;
    if (!(area->protection & PROT_EXEC) || (area->flags & MAP_ON_TOUCH)) {
        return &not_patched;
    }
    for (uint32_t i = 0; i < loaded->count; i++) {
        if (loaded->pieces[i].start == area->start && loaded->pieces[i].end == area->end) {
            return &loaded->pieces[i];
        }
    }
    return NULL;
}

/* Pages of the area stay, but for the area itself. */
static bool keep_piece(const struct loaded *loaded, struct area_node *node, struct piece *piece)
{
    const struct area *area = &node->area;
    bool may_stay = (area->flags & MAP_PRISTINE) && area->file && !(area->flags & MAP_LOCKED) && is_of_file(loaded, area->file) &&
                    count_committed(area->start, area->end);
    const struct piece *text = may_stay ? find_text(loaded, area) : NULL;
    if (!text || !take_trampolines(text, area->space)) {
        return false;
    }
    *piece = (struct piece){.start = area->start, .end = area->end, .offset = area->offset, .protection = area->protection,
                            .flags = area->flags, .trampolines = text->trampolines, .trampolines_end = text->trampolines_end};
    commit_thaw(area->start, area->end, area->protection);
    area->space->mapped_pages -= (area->end - area->start) / PAGE_SIZE;
    area_remove(&areas, node);
    drop_node(node);
    return true;
}

static void collect(const struct loaded *loaded, struct space *space, struct loaded *left)
{
    struct area_node *node;
    for (user_address at = loaded->start; (node = area_from(&areas, at)) && node->area.start < loaded->end;) {
        user_address start = node->area.start, end = node->area.end;
        struct piece *piece = &left->pieces[left->count];
        if (left->count < PIECES_MAX && keep_piece(loaded, node, piece)) {
            left->count++;
            left->pages += count_committed(start, end) + count_committed(piece->trampolines, piece->trampolines_end);
        } else {
            unmap_locked(space, start, end);
        }
        at = end;
    }
}

static void leave(struct loaded *loaded, struct space *space)
{
    struct loaded left = {.next = kept, .device = loaded->device, .inode = loaded->inode, .start = loaded->start, .end = loaded->end};
    EACH_PIECE (piece, loaded) {
        settle(piece, space);
    }
    if (is_all_own(loaded, space) && reserve_nodes()) {
        split_at(loaded->start);
        split_at(loaded->end);
        collect(loaded, space, &left);
    }
    if (!left.count) {
        release(loaded, sizeof *loaded);
        return;
    }
    *loaded = left;
    add_area(&nobody, loaded->start, loaded->end); /* of the nodes that are free now */
    pages_spare(loaded->pages);
    kept = loaded;
    kept_count++;
    kept_pages += loaded->pages;
}

void loaded_leave(struct space *space)
{
    uint64_t committed, limit;
    pages_count(&committed, &limit);
    uint64_t most = limit / KEPT_SHARE < KEPT_PAGES ? limit / KEPT_SHARE : KEPT_PAGES;
    for (struct loaded *loaded; (loaded = space->loaded);) {
        space->loaded = loaded->next;
        leave(loaded, space);
    }
    while ((kept_count > KEPT_MAX || kept_pages > most) && loaded_drop_oldest()) {
    }
}

void loaded_forget(struct space *space)
{
    for (struct loaded *loaded; (loaded = space->loaded);) {
        space->loaded = loaded->next;
        release(loaded, sizeof *loaded);
    }
}
