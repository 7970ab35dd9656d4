/*
 * Application memory: areas (what the application asked for) over dynamic enclave pages (what is committed).
 */
#ifndef ENCLAVIZE_MEMORY_H
#define ENCLAVIZE_MEMORY_H

#include "base/base.h"

struct file;

enum protection {
    PROT_NONE = 0, PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4, PROT_GROWSDOWN = 0x01000000,
    PROT_GROWSUP = 0x02000000,
};

enum map_flag {
    MAP_SHARED = 0x01, MAP_PRIVATE = 0x02, MAP_SHARED_VALIDATE = 0x03, MAP_TYPE = 0x0F, MAP_FIXED = 0x10,
    MAP_ANONYMOUS = 0x20, MAP_GROWSDOWN = 0x0100, MAP_NORESERVE = 0x4000, MAP_POPULATE = 0x8000,
    MAP_STACK = 0x20000, MAP_FIXED_NOREPLACE = 0x100000,
};

/* One contiguous range with one protection and one origin. */
struct area {
    user_address start;
    user_address end;
    uint32_t protection;
    uint32_t flags;     /* MAP_SHARED or MAP_PRIVATE, MAP_ANONYMOUS */
    struct file *file;  /* counted; NULL when anonymous */
    uint64_t offset;    /* of start in the file */
};

/* Before anything else: the limit on committed pages, application and LibOS together. */
void memory_start(uint64_t limit_bytes);

/* The mmap family for the LibOS itself: an address or a negative errno. */
int64_t memory_map(user_address address, uint64_t length, uint32_t protection, uint32_t flags,
                   struct file *file, uint64_t offset);
int64_t memory_unmap(user_address address, uint64_t length);
int64_t memory_protect(user_address address, uint64_t length, uint32_t protection);

enum fault_access { FAULT_READ = 1, FAULT_WRITE = 2, FAULT_EXECUTE = 4 };

/* Serve a page fault: 0 when the page is there now; -EFAULT: no area (SEGV_MAPERR); -EACCES: SEGV_ACCERR;
 * -ENOMEM, -EIO: SIGBUS. */
int64_t memory_fault(user_address address, enum fault_access access);

/* Commit a whole range, so that functions which take "application memory that the caller has committed" can
 * be used. 0 or -EFAULT. */
int64_t memory_commit(user_address address, uint64_t length, enum fault_access access);

/* Calls `each` for every area in order, on copies (files counted for the call's time), for /proc/self/maps.
 * Stops when it returns false. */
void memory_each(bool (*each)(const struct area *area, void *context), void *context);

struct memory_counts {
    uint64_t limit;     /* pages */
    uint64_t committed; /* pages, LibOS included */
    uint64_t mapped;    /* pages in areas */
};
void memory_count(struct memory_counts *counts);

/* Pages of the LibOS's own dynamic range, for the allocator of base.h and thread stacks. */
bool memory_charge(uint64_t pages); /* false: the limit is reached */
void memory_uncharge(uint64_t pages);
void memory_charged(uint64_t *committed, uint64_t *limit);

#endif
