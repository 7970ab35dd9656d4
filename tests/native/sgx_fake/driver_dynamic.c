/* EDMM: the ioctls that change pages of an enclave that runs. One page after the other: 0 or an errno, and maybe an SGX error. */
#include <errno.h>

#include "fake.h"

#define NOT_MODIFIABLE 20 /* SGX_PAGE_NOT_MODIFIABLE */

/* What EMODPR and EMODT refuse, and the driver before them. */
static int flaw_of(uint16_t entry, bool has_right_type, uint64_t *result)
{
    if (!(entry & P_VALID)) {
        return EFAULT;
    }
    if (!has_right_type) {
        return EINVAL;
    }
    if (entry & (P_PENDING | P_MODIFIED)) {
        *result = NOT_MODIFIABLE;
        return EFAULT;
    }
    return 0;
}

static int restrict_page(uint64_t address, uint64_t rights, uint64_t *result)
{
    uint16_t *entry = page_of(address);
    int flaw = flaw_of(*entry, (*entry & P_TYPE) == P_REG, result);
    if (flaw) {
        return flaw;
    }
    *entry = (uint16_t)((*entry & ~(P_RIGHTS & ~rights)) | P_PR);
    track_change(address);
    apply(address);
    return 0;
}

static int trim_page(uint64_t address, uint64_t type, uint64_t *result)
{
    uint16_t *entry = page_of(address);
    if (type != 4) {
        refuse("a page becomes one of type %d, which nobody needs", (int)type);
    }
    int flaw = flaw_of(*entry, (*entry & P_TYPE) == P_REG || (*entry & P_TYPE) == P_TCS, result);
    if (flaw) {
        return flaw;
    }
    *entry = (uint16_t)((*entry & P_RIGHTS << P_MAX_SHIFT) | P_VALID | P_MODIFIED | P_TRIM);
    track_change(address);
    apply(address);
    return 0;
}

static int remove_page(uint64_t address, uint64_t unused, uint64_t *result)
{
    uint16_t *entry = page_of(address);
    (void)unused;
    (void)result;
    if (!(*entry & P_VALID)) {
        return EFAULT;
    }
    if ((*entry & P_TYPE) != P_TRIM || *entry & P_MODIFIED) {
        return EPERM;
    }
    *entry = 0;
    driver_free(address);
    return 0;
}

/* A hostile kernel changes a page that nobody asked it to change: the next one that is there. */
static void meddle(uint64_t address)
{
    bool is_restriction = lies("restrict"), is_removal = lies("remove");
    for (uint64_t page = address; (is_restriction || is_removal) && page < address + 64 * PAGE && page < SPACE; page += PAGE) {
        uint16_t *entry = page_of(page);
        if ((*entry & (P_VALID | P_TYPE)) == (P_VALID | P_REG)) {
            *entry = is_removal ? 0 : (uint16_t)((*entry & ~P_W) | P_PR);
            apply(page);
            return;
        }
    }
}

static int change(uint64_t offset, uint64_t length, uint64_t value, uint64_t *result, uint64_t *done, int (*one)(uint64_t, uint64_t, uint64_t *))
{
    uint64_t most = setting("FAKE_PARTIAL", 0), nowhere;
    int error = 0;
    static unsigned calls[2];
    bool is_remove = one == remove_page, is_short = most && calls[is_remove]++ % 2 == is_remove;
    if (lies("idle")) {
        *done = length;
        return 0;
    }
    if (lies("too-many")) {
        *done = length + PAGE;
        return 0;
    }
    take();
    meddle(secs.base + offset + length);
    for (*done = 0; *done < length && !error; *done += error ? 0 : PAGE) {
        if (is_short && *done == (most - 1) * PAGE) { /* the page is being reclaimed */
            error = is_remove ? EBUSY : EAGAIN;
        } else {
            error = one(secs.base + offset + *done, value, result ? result : &nowhere);
        }
    }
    give();
    if (!is_remove) {
        track();
    }
    return error;
}

int driver_dynamic(unsigned long request, uint64_t *argument)
{
    if (is_set("FAKE_CPU", "sgx1")) {
        return ENODEV;
    }
    bool is_remove = request == REQUEST_REMOVE;
    if (!is_initialized || !is_range(argument[0], argument[1])) {
        return EINVAL;
    }
    if (is_remove) {
        return argument[2] ? EINVAL : change(argument[0], argument[1], 0, NULL, &argument[2], remove_page);
    }
    if (argument[3] || argument[4]) {
        return EINVAL;
    }
    if (request == REQUEST_TYPES) {
        return argument[2] & ~0xFFULL ? EINVAL : change(argument[0], argument[1], argument[2], &argument[3], &argument[4], trim_page);
    }
    bool is_impossible = argument[2] & ~(uint64_t)P_RIGHTS || (argument[2] & (P_R | P_W)) == P_W;
    return is_impossible ? EINVAL : change(argument[0], argument[1], argument[2], &argument[3], &argument[4], restrict_page);
}
