/* The parser of the measured configuration: a good one, each kind of bad one, then random changes. argv:
 * seed, rounds. */
#include "process/configuration.h"

#include "check.h"

static uint8_t bytes[CONFIGURATION_SIZE] __attribute__((aligned(8)));
static uint32_t used;

static void begin(void)
{
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, CONFIGURATION_MAGIC, 8);
    used = sizeof(struct configuration_header);
}

static void add(uint16_t type, uint16_t flags, const void *value, uint32_t size)
{
    struct configuration_entry entry = {.type = type, .flags = flags, .size = size};
    memcpy(bytes + used, &entry, sizeof entry);
    memcpy(bytes + used + sizeof entry, value, size);
    used += (uint32_t)sizeof entry + ((size + 7) & ~7U);
}

static const char *parse(struct configuration *to)
{
    struct configuration_header header = {
        .magic = CONFIGURATION_MAGIC, .version = CONFIGURATION_VERSION, .size = used};
    memcpy(bytes, &header, sizeof header);
    return configuration_parse(to, bytes);
}

static void add_good_records(void)
{
    begin();
    add(CONFIGURATION_ENTRYPOINT, 0, "/bin/app", 8);
    add(CONFIGURATION_COMMAND, 0, "one", 3);
    add(CONFIGURATION_COMMAND, 0, "", 0);
    add(CONFIGURATION_ENVIRONMENT, 0, "A=b", 3);
    add(CONFIGURATION_WORKING_DIRECTORY, 0, "/w", 2);
    add(CONFIGURATION_USER, 0, (uint32_t[]){1, 2, 3}, 12);
    add(CONFIGURATION_POLICY, 0, &(uint64_t){POLICY_ALLOW_ARGUMENTS}, 8);
    add(CONFIGURATION_ALLOWED_ENVIRONMENT, 1, "LD_PRELOAD", 10);
    add(CONFIGURATION_VOLUME, VOLUME_READ_ONLY, "/data", 5);
    add(CONFIGURATION_ROOTFS, 0, (uint64_t[]){4096, 1, 2, 3, 4, 8192}, 48);
    add(CONFIGURATION_MEMORY, 0, &(uint64_t){1 << 20}, 8);
}

static void test_good(void)
{
    struct configuration to;
    add_good_records();
    CHECK(!parse(&to));
    CHECK(to.entrypoint.count == 1 && to.command.count == 2);
    struct span first = span_first(&to.command), second = span_next(&to.command, first);
    CHECK(span_equals(first, "one", 3) && second.start && second.size == 0);
    CHECK(!span_next(&to.command, second).start && !span_first(&to.allowed_exec).start);
    CHECK(to.uid == 1 && to.gid == 2 && to.groups.size == 4 && to.memory == 1 << 20);
    CHECK(to.rootfs_size == 4096 && to.verity_size == 8192 && to.rootfs_digest[0] == 1);
    CHECK(span_first(&to.allowed_environment).flags == 1 &&
          span_first(&to.volumes).flags == VOLUME_READ_ONLY);
}

/* One more record behind the good ones, or a change of them. */
static void test_bad(void)
{
    struct configuration to;
    const struct {
        uint16_t type, flags;
        const void *value;
        uint32_t size;
    } records[] = {
        {CONFIGURATION_ENTRYPOINT, 0, "late", 4},
        {CONFIGURATION_MEMORY, 0, "12345678", 8},
        {CONFIGURATION_THREADS, 0, "123", 3},
        {CONFIGURATION_THREADS, 0, "12345678", 8},
        {CONFIGURATION_THREADS, 1, "1234", 4},
        {CONFIGURATION_HOSTNAME, 0, "a\0b", 3},
        {CONFIGURATION_HOSTNAME + 1, 0, "x", 1},
        {0, 0, "x", 1},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(records); i++) {
        add_good_records();
        add(records[i].type, records[i].flags, records[i].value, records[i].size);
        CHECK(parse(&to));
    }
    add_good_records();
    bytes[used] = 1;
    CHECK(parse(&to)); /* behind the end */
    add_good_records();
    bytes[sizeof(struct configuration_header) + 8 + 8 + 8 + 3] = 1;
    CHECK(parse(&to)); /* padding of "one" */
    begin();
    CHECK(parse(&to)); /* nothing in it */
    add_good_records();
    used += 4;
    CHECK(parse(&to));
    add_good_records();
    used -= 8;
    CHECK(parse(&to));
}

static void test_full(void)
{
    struct configuration to;
    add_good_records();
    begin();
    add(CONFIGURATION_ENTRYPOINT, 0, "/a", 2);
    add(CONFIGURATION_ROOTFS, 0, (uint64_t[]){4096, 1, 2, 3, 4, 8192}, 48);
    add(CONFIGURATION_MEMORY, 0, &(uint64_t){1 << 20}, 8);
    uint32_t room = CONFIGURATION_SIZE - used - 8;
    CHECK(room > 64);
    static char path[CONFIGURATION_SIZE];
    memset(path, 'a', sizeof path);
    begin();
    add(CONFIGURATION_ENTRYPOINT, 0, path, room);
    add(CONFIGURATION_ROOTFS, 0, (uint64_t[]){4096, 1, 2, 3, 4, 8192}, 48);
    add(CONFIGURATION_MEMORY, 0, &(uint64_t){1 << 20}, 8);
    while (used + 8 <= CONFIGURATION_SIZE) {
        used += 8;
    }
    used = CONFIGURATION_SIZE;
    CHECK(parse(&to)); /* zeros are no record */
}

static void test_random_changes(long rounds)
{
    struct configuration to;
    for (long i = 0; i < rounds; i++) {
        add_good_records();
        parse(&to);
        for (uint64_t changes = 1 + random_number(4); changes; changes--) {
            bytes[random_number(used)] = (uint8_t)random_number(256);
        }
        if (!configuration_parse(&to, bytes)) {
            uint32_t total = 0;
            for (struct span span = span_first(&to.command); span.start;
                 span = span_next(&to.command, span)) {
                CHECK((const uint8_t *)span.start + span.size <= bytes + sizeof bytes);
                total++;
            }
            CHECK(total == to.command.count);
        }
    }
}

int main(int count, char **values)
{
    random_state = count > 1 ? (uint64_t)atol(values[1]) : 1;
    test_good();
    test_bad();
    test_full();
    test_random_changes(count > 2 ? atol(values[2]) : 1000);
    return 0;
}
