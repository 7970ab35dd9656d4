/* The area tree against a plain array of pages. argv: seed, operations. */
#include "memory/area.h"

#include "check.h"

#define PAGES 512U

static struct area_tree tree;
static uint8_t owner[PAGES]; /* protection + 1 of the area that holds the page; 0: free */

static user_address address_of(uint64_t page)
{
    return APPLICATION_START + page * PAGE_SIZE;
}

static uint64_t page_of(user_address address)
{
    return (address - APPLICATION_START) / PAGE_SIZE;
}

static void unmap(uint64_t first, uint64_t last)
{
    for (struct area_node *node;
         (node = area_from(&tree, address_of(first))) && node->area.start < address_of(last);) {
        if (node->area.start < address_of(first)) {
            area_split(&tree, node, address_of(first), calloc(1, sizeof *node));
        } else if (node->area.end > address_of(last)) {
            area_split(&tree, node, address_of(last), calloc(1, sizeof *node));
        } else {
            area_remove(&tree, node);
            free(node);
        }
    }
    memset(owner + first, 0, last - first);
}

static void map(uint64_t first, uint64_t last, uint32_t protection)
{
    unmap(first, last);
    struct area_node *node = calloc(1, sizeof *node);
    node->area = (struct area){.start = address_of(first), .end = address_of(last), .protection = protection};
    area_insert(&tree, node);
    memset(owner + first, (int)protection + 1, last - first);
}

static void check_lookups(uint64_t page)
{
    const struct area_node *node = area_find(&tree, address_of(page) + random_number(PAGE_SIZE));
    CHECK((node != NULL) == (owner[page] != 0));
    CHECK(!node || node->area.protection + 1U == owner[page]);
    uint64_t next = page;
    while (next < PAGES && !owner[next]) {
        next++;
    }
    node = area_from(&tree, address_of(page));
    CHECK(node ? page_of(node->area.start) <= next && page_of(node->area.end) > next : next == PAGES);
    uint64_t before = page;
    while (before > 0 && !owner[before - 1]) {
        before--;
    }
    node = area_before(&tree, address_of(page));
    CHECK(node ? before > 0 && page_of(node->area.start) < before : before == 0);
}

static void check_gap(uint64_t length, uint64_t low, uint64_t high)
{
    user_address gap = area_find_gap(&tree, length * PAGE_SIZE, address_of(low), address_of(high));
    uint64_t expected = PAGES, run = 0;
    for (uint64_t page = high; page > low && expected == PAGES; page--) {
        run = owner[page - 1] ? 0 : run + 1;
        expected = run == length ? page - 1 : PAGES;
    }
    CHECK(gap ? page_of(gap) == expected : expected == PAGES);
}

int main(int count, char **values)
{
    random_state = count > 1 ? (uint64_t)atol(values[1]) : 1;
    long operations = count > 2 ? atol(values[2]) : 10000;
    for (long i = 0; i < operations; i++) {
        uint64_t first = random_number(PAGES), last = first + 1 + random_number(PAGES - first);
        if (random_number(3)) {
            last = first + 1 + random_number(8) < last ? first + 1 : last;
        }
        if (random_number(2)) {
            map(first, last, (uint32_t)random_number(8));
        } else {
            unmap(first, last);
        }
        check_lookups(random_number(PAGES));
        check_gap(1 + random_number(20), random_number(PAGES / 2), PAGES / 2 + random_number(PAGES / 2));
    }
    unmap(0, PAGES);
    CHECK(!tree.root);
    return 0;
}
