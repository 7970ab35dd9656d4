#include "options.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "abi.h"
#include "log.h"

static int set_path(char *to, const char *value, size_t length)
{
    if (length == 0 || length >= PATH_MAX) {
        return -EINVAL;
    }
    memcpy(to, value, length);
    to[length] = '\0';
    return 0;
}

static bool equals(const char *value, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(value, word, length) == 0;
}

static int set_instance(struct options *options, const char *value, size_t length)
{
    return set_path(options->instance, value, length);
}

static int set_root(struct options *options, const char *value, size_t length)
{
    return set_path(options->root, value, length);
}

static int set_layers(struct options *options, const char *value, size_t length)
{
    return set_path(options->layers, value, length);
}

static int set_mode(struct options *options, const char *value, size_t length)
{
    if (!equals(value, length, "sim") && !equals(value, length, "hw")) {
        return -EINVAL;
    }
    options->mode = equals(value, length, "sim") ? MODE_SIMULATION : MODE_HARDWARE;
    return 0;
}

static int set_enclu(struct options *options, const char *value, size_t length)
{
    if (!equals(value, length, "gate") && !equals(value, length, "trap") && !equals(value, length, "step")) {
        return -EINVAL;
    }
    options->step_enclave = equals(value, length, "step");
    options->trap_enclu = options->step_enclave || equals(value, length, "trap");
    return 0;
}

static int set_syscall_trap(struct options *options, const char *value, size_t length)
{
    if (!equals(value, length, "sud") && !equals(value, length, "seccomp")) {
        return -EINVAL;
    }
    options->syscall_trap = equals(value, length, "sud") ? SYSCALL_TRAP_SUD : SYSCALL_TRAP_SECCOMP;
    return 0;
}

static int set_trace(struct options *options, const char *value, size_t length)
{
    (void)value;
    options->boot_flags |= BOOT_TRACE;
    return length == 0 ? 0 : -EINVAL;
}

static int set_profile(struct options *options, const char *value, size_t length)
{
    if (!equals(value, length, "text") && !equals(value, length, "json")) {
        return -EINVAL;
    }
    options->boot_flags |= BOOT_PROFILE | (equals(value, length, "json") ? BOOT_PROFILE_JSON : 0);
    return 0;
}

#define DESCRIPTOR_DIGITS 4

static int set_report(struct options *options, const char *value, size_t length)
{
    int descriptor = 0;
    for (size_t index = 0; index < length; index++) {
        if (value[index] < '0' || value[index] > '9' || length > DESCRIPTOR_DIGITS) {
            return -EINVAL;
        }
        descriptor = 10 * descriptor + (value[index] - '0');
    }
    options->report = descriptor;
    return length > 0 ? 0 : -EINVAL;
}

static int ignore(struct options *options, const char *value, size_t length)
{
    (void)options;
    (void)value;
    return length == 0 ? 0 : -EINVAL;
}

static const struct {
    const char *prefix;
    int (*set)(struct options *options, const char *value, size_t length);
} WORDS[] = {
    {"instance=", set_instance}, {"root=", set_root}, {"layers=", set_layers}, {"mode=", set_mode}, {"enclu=", set_enclu},
    {"syscall-trap=", set_syscall_trap}, {"trace", set_trace}, {"profile=", set_profile}, {"report-fd=", set_report}, {"no-epm", ignore}, {"debug", ignore},
};

static int set_word(struct options *options, const char *word, size_t length)
{
    for (size_t index = 0; index < sizeof(WORDS) / sizeof(WORDS[0]); index++) {
        size_t prefix = strlen(WORDS[index].prefix);
        if (length >= prefix && memcmp(word, WORDS[index].prefix, prefix) == 0) {
            return WORDS[index].set(options, word + prefix, length - prefix);
        }
    }
    return -EINVAL;
}

int options_parse(struct options *options, const char *words)
{
    *options = (struct options){.instance = "/.enclave", .root = "/", .report = 2};
    for (const char *rest = words ? words : "";;) {
        rest += strspn(rest, " \t");
        size_t length = strcspn(rest, " \t");
        if (length == 0) {
            return 0;
        }
        if (set_word(options, rest, length) != 0) {
            return fail(-EINVAL, "PAL argument '%.*s' is not known", (int)(length < 100 ? length : 100), rest);
        }
        rest += length;
    }
}
