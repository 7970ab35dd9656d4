/* The measured configuration, parsed and checked (docs/tee-image.md, section 4). */
#ifndef ENCLAVIZE_CONFIGURATION_H
#define ENCLAVIZE_CONFIGURATION_H

#include "abi.h"
#include "process/credentials.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A value inside the measured 64 KiB; not NUL-terminated by itself. */
struct span {
    const char *start;
    uint32_t size;
    uint16_t flags; /* of the record */
};

/* Repeated records of one type stand one after the other. */
struct span_list {
    const struct configuration_entry *first;
    const struct configuration_entry *end; /* behind the last record */
    uint32_t count;
};

struct configuration {
    struct span_list entrypoint;
    struct span_list command;
    struct span_list environment;
    struct span_list allowed_environment;
    struct span_list allowed_exec;
    struct span_list volumes;
    struct span working_directory; /* size 0: "/" */
    struct span healthcheck;
    struct span hostname;
    uint32_t uid;
    uint32_t gid;
    struct span groups; /* u32 each, unaligned */
    uint32_t stop_signal;
    uint64_t policy;
    bool has_rootfs;
    uint64_t rootfs_size;
    uint8_t rootfs_digest[32];
    uint64_t verity_size;
    uint64_t memory;
    uint32_t threads;
    uint64_t host_signals;
    uint64_t fault_around; /* 0: the default */
    uint32_t switchless;   /* workers of the host; 0: none */
};

/* What is wrong, for the one error line; NULL when all is well. `bytes` must stay: spans point into it. */
const char *configuration_parse(struct configuration *configuration, const uint8_t bytes[CONFIGURATION_SIZE]);

/* for (struct span s = span_first(&list); s.start; s = span_next(&list, s)) */
struct span span_first(const struct span_list *list);
struct span span_next(const struct span_list *list, struct span span);
bool span_equals(struct span span, const char *text, size_t size);

/* The measured working directory, or "/". */
void configuration_directory(char *path, size_t size);

/* The one that counts, after libos_start. */
extern struct configuration configuration;

#endif
