#include "net/interfaces.h"

#include "net/inet.h"
#include "net/policy.h"

#define LIST_SIZE (INTERFACES_MAX * sizeof(struct host_interface))
#define LOOPBACK_INDEX 1U
#define LOOPBACK_MTU 65536U
#define LOOPBACK_FLAGS 0x10049U /* UP, LOOPBACK, RUNNING, LOWER_UP */
#define ARPHRD_LOOPBACK 772U
#define RT_SCOPE_HOST 254U
#define FLAGS_KNOWN 0x7FFFFU /* include/uapi/linux/if.h */

static void make_loopback(struct interfaces *interfaces)
{
    struct host_interface record = {
        .name = "lo", .index = LOOPBACK_INDEX, .flags = LOOPBACK_FLAGS, .mtu = LOOPBACK_MTU, .hardware_type = ARPHRD_LOOPBACK};
    interfaces->list[0] = record;
    record.scope = RT_SCOPE_HOST;
    record.family = AF_INET;
    record.prefix = 8;
    record.address[0] = 127;
    record.address[3] = 1;
    interfaces->list[1] = record;
    record.family = AF_INET6;
    record.prefix = 128;
    memset(record.address, 0, sizeof(record.address));
    record.address[15] = 1;
    interfaces->list[2] = record;
    interfaces->count = 3;
}

static bool is_good_name(const char name[16])
{
    size_t length = strnlen(name, 16);
    for (size_t at = 0; at < length; at++) {
        if (name[at] <= ' ' || name[at] > '~' || name[at] == '/') {
            return false;
        }
    }
    return length > 0 && length < 16;
}

static bool is_good(const struct host_interface *record)
{
    uint32_t bits = record->family == AF_INET ? 32 : record->family == AF_INET6 ? 128 : 0;
    bool has_family = record->family == 0 || bits > 0;
    return is_good_name(record->name) && record->index > 0 && record->index <= INT32_MAX && has_family && record->prefix <= bits;
}

/* What is malformed is left out; what is of no use inside is cleared. */
static void check(struct interfaces *interfaces)
{
    size_t kept = 0;
    for (size_t at = 0; at < interfaces->count; at++) {
        struct host_interface *record = &interfaces->list[at];
        if (!is_good(record)) {
            log_line(LOG_ERROR, "the host gave an interface that is malformed");
            continue;
        }
        record->flags &= FLAGS_KNOWN;
        record->scope &= 0xFF;
        interfaces->list[kept++] = *record;
    }
    interfaces->count = kept;
}

int64_t interfaces_read(struct interfaces *interfaces)
{
    interfaces->list = allocate(LIST_SIZE);
    interfaces->count = 0;
    if (!interfaces->list) {
        return -ENOMEM;
    }
    if (policy_is_loopback()) {
        make_loopback(interfaces);
        return 0;
    }
    int64_t count = host_interfaces(interfaces->list, INTERFACES_MAX);
    if (count < 0) {
        interfaces_free(interfaces);
        return count;
    }
    interfaces->count = (size_t)count;
    check(interfaces);
    return 0;
}

void interfaces_free(struct interfaces *interfaces)
{
    release(interfaces->list, LIST_SIZE);
    interfaces->list = NULL;
}
