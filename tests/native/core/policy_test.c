/* What the host may choose. */
#include "process/policy.h"

#include "check.h"

static uint8_t bytes[CONFIGURATION_SIZE] __attribute__((aligned(8)));
static uint32_t used;
static struct configuration measured;
static bool has_health_check = true;

static void add(uint16_t type, uint16_t flags, const void *value, uint32_t size)
{
    struct configuration_entry entry = {.type = type, .flags = flags, .size = size};
    memcpy(bytes + used, &entry, sizeof entry);
    memcpy(bytes + used + sizeof entry, value, size);
    used += (uint32_t)sizeof entry + ((size + 7) & ~7U);
}

static void configure(uint64_t policy)
{
    memset(bytes, 0, sizeof bytes);
    used = sizeof(struct configuration_header);
    add(CONFIGURATION_ENTRYPOINT, 0, "app", 3);
    add(CONFIGURATION_COMMAND, 0, "x", 1);
    add(CONFIGURATION_ENVIRONMENT, 0, "PATH=/bin", 9);
    add(CONFIGURATION_ENVIRONMENT, 0, "MODE=safe", 9);
    add(CONFIGURATION_POLICY, 0, &policy, 8);
    add(CONFIGURATION_ALLOWED_ENVIRONMENT, 0, "MODE", 4);
    add(CONFIGURATION_ALLOWED_ENVIRONMENT, 0, "NEW", 3);
    add(CONFIGURATION_ALLOWED_ENVIRONMENT, 0, "LD_PRELOAD", 10);
    add(CONFIGURATION_ALLOWED_ENVIRONMENT, 1, "PYTHONPATH", 10);
    add(CONFIGURATION_ALLOWED_EXEC, 0, "ls\0-l\0", 6);
    add(CONFIGURATION_ALLOWED_EXEC, 0, "sh\0-c\0a  b\0\0", 12);
    if (has_health_check) {
        add(CONFIGURATION_HEALTHCHECK, 0, "check\0\0", 7);
    }
    add(CONFIGURATION_ROOTFS, 0, (uint64_t[]){1, 1, 1, 1, 1, 1}, 48);
    add(CONFIGURATION_MEMORY, 0, &(uint64_t){1}, 8);
    struct configuration_header header = {
        .magic = CONFIGURATION_MAGIC, .version = CONFIGURATION_VERSION, .size = used};
    memcpy(bytes, &header, sizeof header);
    CHECK(!configuration_parse(&measured, bytes));
}

static struct strings list(const char *const *texts)
{
    struct strings strings = {0};
    for (; *texts; texts++) {
        CHECK(strings_add(&strings, *texts, strlen(*texts)));
    }
    return strings;
}

static void expect(struct strings got, const char *const *wanted)
{
    const char *text = strings_first(&got);
    for (; *wanted; wanted++) {
        CHECK(text && strcmp(text, *wanted) == 0);
        text = strings_next(&got, text);
    }
    CHECK(!text);
    strings_free(&got);
}

static const char *apply(const char *const *arguments, const char *const *environment, struct strings *to,
                         struct strings *to_environment)
{
    struct strings given = list(arguments), variables = list(environment);
    *to = *to_environment = (struct strings){0};
    const char *error = policy_apply(&measured, &given, &variables, to, to_environment);
    strings_free(&given);
    strings_free(&variables);
    return error;
}

/* A command from outside; its environment is checked as that of the first program. */
static bool may_run(const char *const *arguments, const char *const *expected)
{
    struct strings given = list(arguments), variables = list((const char *const[]){"MODE=fast", "PATH=/evil", NULL});
    struct strings to = {0}, to_environment = {0};
    const char *error = policy_apply_to_command(&measured, &given, &variables, &to, &to_environment);
    strings_free(&given);
    strings_free(&variables);
    if (!error) {
        expect(to, expected);
        expect(to_environment, (const char *const[]){"PATH=/bin", "MODE=fast", NULL});
    }
    return !error;
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define EMPTY ((const char *const[]){NULL})

static void check_commands(void)
{
    const char *const *const refused[] = {
        LIST("ls"), LIST("ls", "-l", ""), LIST("ls", "-l", "-l"), LIST("ls\n", "-l"), LIST("/bin/ls", "-l"), LIST("ls-l"), LIST("l", "s", "-l"),
        LIST("sh", "-c", "a b", ""), LIST("sh", "-c", "a  b"), LIST("sh", "-c"), LIST("check"), LIST("check", "", ""), LIST("app", "x"), LIST(""),
    };
    configure(POLICY_ALLOW_ARGUMENTS);
    CHECK(may_run(LIST("ls", "-l"), LIST("ls", "-l")));
    CHECK(may_run(LIST("sh", "-c", "a  b", ""), LIST("sh", "-c", "a  b", "")));
    CHECK(may_run(LIST("check", ""), LIST("check", "")));
    CHECK(may_run(EMPTY, LIST("check", "")));
    for (size_t at = 0; at < ARRAY_LENGTH(refused); at++) {
        CHECK(!may_run(refused[at], EMPTY));
    }
    has_health_check = false;
    configure(0);
    CHECK(!may_run(EMPTY, EMPTY) && !may_run(LIST("check", ""), EMPTY));
    configure(POLICY_ALLOW_ANY_EXEC);
    CHECK(!may_run(EMPTY, EMPTY));
    CHECK(may_run(LIST("", "anything"), LIST("", "anything")));
}

/* Says of each argument whether it is such a name, for a comparison with the rules in Python. */
static int judge(int count, char **names)
{
    for (int i = 0; i < count; i++) {
        putchar(policy_is_loader_name(names[i], strlen(names[i])) ? '1' : '0');
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct strings arguments, environment;
    if (argc > 1) {
        return judge(argc - 1, argv + 1);
    }
    configure(0);
    CHECK(!apply(
        EMPTY,
        LIST("MODE=fast", "HOME=/root", "NEW=1", "NEW=2", "LD_PRELOAD=/x", "PYTHONPATH=/p", "PATH=/evil"),
        &arguments, &environment));
    expect(arguments, LIST("app", "x"));
    expect(environment, LIST("PATH=/bin", "MODE=fast", "NEW=2", "PYTHONPATH=/p"));
    CHECK(apply(LIST("y"), EMPTY, &arguments, &environment));
    strings_free(&arguments);
    CHECK(!apply(LIST("x"), LIST("=", "novalue", "=x"), &arguments, &environment));
    expect(arguments, LIST("app", "x"));
    expect(environment, LIST("PATH=/bin", "MODE=safe"));

    configure(POLICY_ALLOW_ARGUMENTS);
    CHECK(!apply(LIST("y", "", "z"), EMPTY, &arguments, &environment));
    expect(arguments, LIST("app", "y", "", "z"));
    strings_free(&environment);

    check_commands();
    CHECK(policy_is_loader_name("LD_LIBRARY_PATH", 15) && policy_is_loader_name("GCONV_PATH", 10) &&
          policy_is_loader_name("PERL5LIB", 8));
    CHECK(!policy_is_loader_name("HOME", 4) && !policy_is_loader_name("LD", 2));
    CHECK(!policy_is_loader_name("", 0) && !policy_is_loader_name("NODE_ENV", 8));
    CHECK(policy_is_loader_name("Npm_Config_prefix", 17) && !policy_is_loader_name("ld_preload", 10));
    CHECK(policy_is_loader_name("ASAN_OPTIONS", 12) && !policy_is_loader_name("SAN_OPTION", 10));
    CHECK(policy_is_loader_name("BASH_FUNC_a%%", 13));
    return 0;
}
