/* The parser of the measured configuration. Strict: what it does not know, it refuses (docs/tee-image.md,
 * section 4). */
#include "base/base.h"

#include "process/configuration.h"

#define FIRST_TYPE CONFIGURATION_ENTRYPOINT
#define LAST_TYPE CONFIGURATION_SWITCHLESS
#define POLICY_NETWORK (POLICY_NETWORK_LOOPBACK | POLICY_NETWORK_ALL)
#define POLICY_ALL (POLICY_ALLOW_ARGUMENTS | POLICY_ALLOW_ANY_EXEC | POLICY_ALLOW_HOST_NETWORK_FILES | POLICY_NETWORK)
#define HOSTNAME_MAX 64U
#define PATH_LIMIT 4095U
#define ROOTFS_SIZE (8U + 32U + 8U)

struct configuration configuration;

enum value_kind {
    VALUE_TEXT,     /* no NUL inside */
    VALUE_STRINGS,  /* each ended by NUL, at least one */
    VALUE_PATH,     /* absolute */
    VALUE_VARIABLE, /* NAME=value */
    VALUE_NUMBERS,  /* checked by size alone */
};

struct record_rule {
    const char *error;
    enum value_kind kind;
    uint32_t minimum, maximum; /* of the size in bytes */
    uint16_t flags;            /* those that may be set */
    bool repeated;
};

static const struct record_rule rules[] = {
    [CONFIGURATION_ENTRYPOINT] = {"bad entrypoint", VALUE_TEXT, 0, CONFIGURATION_SIZE, 0, true},
    [CONFIGURATION_COMMAND] = {"bad command", VALUE_TEXT, 0, CONFIGURATION_SIZE, 0, true},
    [CONFIGURATION_ENVIRONMENT] = {"bad environment variable", VALUE_VARIABLE, 2, CONFIGURATION_SIZE, 0,
                                   true},
    [CONFIGURATION_WORKING_DIRECTORY] = {"bad working directory", VALUE_PATH, 1, PATH_LIMIT, 0, false},
    [CONFIGURATION_USER] = {"bad user", VALUE_NUMBERS, 8, 8 + 4 * GROUPS_MAX, 0, false},
    [CONFIGURATION_STOP_SIGNAL] = {"bad stop signal", VALUE_NUMBERS, 4, 4, 0, false},
    [CONFIGURATION_POLICY] = {"bad policy", VALUE_NUMBERS, 8, 8, 0, false},
    [CONFIGURATION_ALLOWED_ENVIRONMENT] = {"bad allowed environment", VALUE_TEXT, 1, CONFIGURATION_SIZE, 1,
                                           true},
    [CONFIGURATION_ALLOWED_EXEC] = {"bad allowed exec", VALUE_STRINGS, 1, CONFIGURATION_SIZE, 0, true},
    [CONFIGURATION_HEALTHCHECK] = {"bad health check", VALUE_STRINGS, 1, CONFIGURATION_SIZE, 0, false},
    [CONFIGURATION_VOLUME] = {"bad volume", VALUE_PATH, 2, PATH_LIMIT, VOLUME_READ_ONLY | VOLUME_EXECUTABLE,
                              true},
    [CONFIGURATION_ROOTFS] = {"bad root file system", VALUE_NUMBERS, ROOTFS_SIZE, ROOTFS_SIZE, 0, false},
    [CONFIGURATION_MEMORY] = {"bad memory size", VALUE_NUMBERS, 8, 8, 0, false},
    [CONFIGURATION_THREADS] = {"bad number of threads", VALUE_NUMBERS, 4, 4, 0, false},
    [CONFIGURATION_HOST_SIGNALS] = {"bad host signals", VALUE_NUMBERS, 8, 8, 0, false},
    [CONFIGURATION_HOSTNAME] = {"bad host name", VALUE_TEXT, 1, HOSTNAME_MAX, 0, false},
    [CONFIGURATION_FAULT_AROUND] = {"bad size of a fault", VALUE_NUMBERS, 8, 8, 0, false},
    [CONFIGURATION_SWITCHLESS] = {"bad number of workers", VALUE_NUMBERS, 4, 4, 0, false},
};

static uint32_t read_u32(const char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t read_u64(const char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static bool all_zero(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i]) {
            return false;
        }
    }
    return true;
}

static bool value_is_good(enum value_kind kind, const char *value, uint32_t size)
{
    bool has_nul = memchr(value, 0, size) != NULL;
    switch (kind) {
    case VALUE_TEXT:
        return !has_nul;
    case VALUE_STRINGS:
        return value[size - 1] == 0;
    case VALUE_PATH:
        return !has_nul && value[0] == '/';
    case VALUE_VARIABLE:
        return !has_nul && value[0] != '=' && memchr(value, '=', size);
    case VALUE_NUMBERS:
        return size % 4 == 0;
    }
    return false;
}

static struct span_list *list_of(struct configuration *to, uint16_t type)
{
    switch (type) {
    case CONFIGURATION_ENTRYPOINT:
        return &to->entrypoint;
    case CONFIGURATION_COMMAND:
        return &to->command;
    case CONFIGURATION_ENVIRONMENT:
        return &to->environment;
    case CONFIGURATION_ALLOWED_ENVIRONMENT:
        return &to->allowed_environment;
    case CONFIGURATION_ALLOWED_EXEC:
        return &to->allowed_exec;
    default:
        return &to->volumes;
    }
}

static const struct configuration_entry *entry_after(const struct configuration_entry *entry)
{
    return (const struct configuration_entry *)((const char *)(entry + 1) + ((entry->size + 7) & ~7U));
}

static void store(struct configuration *to, const struct configuration_entry *entry)
{
    const char *value = (const char *)(entry + 1);
    struct span span = {.start = value, .size = entry->size, .flags = entry->flags};
    switch (entry->type) {
    case CONFIGURATION_WORKING_DIRECTORY:
        to->working_directory = span;
        break;
    case CONFIGURATION_USER:
        to->uid = read_u32(value);
        to->gid = read_u32(value + 4);
        to->groups = (struct span){.start = value + 8, .size = entry->size - 8};
        break;
    case CONFIGURATION_STOP_SIGNAL:
        to->stop_signal = read_u32(value);
        break;
    case CONFIGURATION_POLICY:
        to->policy = read_u64(value);
        break;
    case CONFIGURATION_HEALTHCHECK:
        to->healthcheck = span;
        break;
    case CONFIGURATION_ROOTFS:
        to->has_rootfs = true;
        to->rootfs_size = read_u64(value);
        memcpy(to->rootfs_digest, value + 8, sizeof to->rootfs_digest);
        to->verity_size = read_u64(value + 40);
        break;
    case CONFIGURATION_MEMORY:
        to->memory = read_u64(value);
        break;
    case CONFIGURATION_THREADS:
        to->threads = read_u32(value);
        break;
    case CONFIGURATION_HOST_SIGNALS:
        to->host_signals = read_u64(value);
        break;
    case CONFIGURATION_HOSTNAME:
        to->hostname = span;
        break;
    case CONFIGURATION_FAULT_AROUND:
        to->fault_around = read_u64(value);
        break;
    case CONFIGURATION_SWITCHLESS:
        to->switchless = read_u32(value);
        break;
    default: {
        struct span_list *list = list_of(to, entry->type);
        if (!list->count++) {
            list->first = entry;
        }
        list->end = entry_after(entry);
        break;
    }
    }
}

const char *configuration_parse(struct configuration *to, const uint8_t bytes[CONFIGURATION_SIZE])
{
    memset(to, 0, sizeof *to);
    const char *start = (const char *)bytes;
    struct configuration_header header;
    memcpy(&header, bytes, sizeof header);
    if (memcmp(header.magic, CONFIGURATION_MAGIC, sizeof header.magic) != 0) {
        return "bad magic";
    }
    if (header.version != CONFIGURATION_VERSION) {
        return "unknown version";
    }
    if (header.size < sizeof header || header.size > CONFIGURATION_SIZE || header.size % 8) {
        return "bad size";
    }
    uint32_t previous = 0;
    for (uint32_t at = sizeof header; at < header.size;) {
        uint32_t left = header.size - at;
        if (left < sizeof(struct configuration_entry)) {
            return "cut record";
        }
        const struct configuration_entry *entry = (const struct configuration_entry *)(start + at);
        left -= sizeof *entry;
        if (entry->type < FIRST_TYPE || entry->type > LAST_TYPE) {
            return "unknown record type";
        }
        const struct record_rule *rule = &rules[entry->type];
        if (entry->type < previous || (entry->type == previous && !rule->repeated)) {
            return "records out of order";
        }
        uint32_t padded = (entry->size + 7) & ~7U;
        if (entry->size > CONFIGURATION_SIZE || padded > left) {
            return "cut record";
        }
        const char *value = (const char *)(entry + 1);
        if (entry->size < rule->minimum || entry->size > rule->maximum || (entry->flags & ~rule->flags) ||
            !value_is_good(rule->kind, value, entry->size)) {
            return rule->error;
        }
        if (!all_zero(value + entry->size, padded - entry->size)) {
            return "bytes in padding";
        }
        store(to, entry);
        previous = entry->type;
        at += (uint32_t)sizeof *entry + padded;
    }
    if (!all_zero(start + header.size, CONFIGURATION_SIZE - header.size)) {
        return "bytes after the end";
    }
    if ((to->policy & ~(uint64_t)POLICY_ALL) || (to->policy & POLICY_NETWORK) == POLICY_NETWORK) {
        return rules[CONFIGURATION_POLICY].error;
    }
    if (to->stop_signal > SIGNAL_COUNT) {
        return rules[CONFIGURATION_STOP_SIGNAL].error;
    }
    if (!to->has_rootfs) {
        return "no root file system";
    }
    if (!to->memory) {
        return rules[CONFIGURATION_MEMORY].error;
    }
    if (!to->entrypoint.count && !to->command.count) {
        return "no command";
    }
    return NULL;
}

static struct span span_at(const struct span_list *list, const struct configuration_entry *entry)
{
    if (entry == list->end) {
        return (struct span){0};
    }
    return (struct span){.start = (const char *)(entry + 1), .size = entry->size, .flags = entry->flags};
}

struct span span_first(const struct span_list *list)
{
    return span_at(list, list->first);
}

struct span span_next(const struct span_list *list, struct span span)
{
    return span_at(list, entry_after((const struct configuration_entry *)span.start - 1));
}

bool span_equals(struct span span, const char *text, size_t size)
{
    return span.size == size && memcmp(span.start, text, size) == 0;
}

void configuration_directory(char *path, size_t size)
{
    struct span directory = configuration.working_directory;
    size_t length = directory.size < size ? directory.size : 0;
    memcpy(path, length ? directory.start : "/", length ? length : 1);
    path[length ? length : 1] = 0;
}
