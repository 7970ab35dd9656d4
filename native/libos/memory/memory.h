/*
 * The memory room: address spaces, areas (what the application asked for) over dynamic enclave pages (what is
 * committed). All programs of the enclave share one range of addresses: an area belongs to one space, and no call
 * of another space touches it.
 */
#ifndef ENCLAVIZE_MEMORY_H
#define ENCLAVIZE_MEMORY_H

#include "wait/wait.h"

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

/* What one program has of the application's range. Processes share one from vfork to execve. */
struct space;
/* The first program's, which is there from the start. */
extern struct space first_space;
/* NULL: out of memory. One count; the areas go with the last one. */
struct space *space_create(void);
struct space *space_get(struct space *space);
void space_put(struct space *space);
/* Its areas go now; it stays, empty, without limits. Nobody else may use it. */
void space_clear(struct space *space);

/* What this room keeps of a task: struct task begins with it. */
struct resident {
    struct sleeper sleeper;
    struct space *space;
};
static inline struct space *current_space(void)
{
    return ((const struct resident *)current_task())->space;
}

/* One contiguous range with one protection and one origin. */
struct area {
    struct space *space; /* whose it is; not counted */
    user_address start;
    user_address end;
    uint32_t protection;
    uint32_t flags;     /* MAP_SHARED or MAP_PRIVATE, MAP_ANONYMOUS */
    struct file *file;  /* counted; NULL when anonymous */
    uint64_t offset;    /* of start in the file */
};

/* The mmap family for the LibOS itself, in the current space: an address or a negative errno. A fixed address where
 * another space's area lies is -ENOMEM. */
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

/* Calls `each` for every area of the space (NULL: of all) in order, on copies (files counted for the call's time).
 * Stops when it returns false. */
void memory_each(const struct space *space, bool (*each)(const struct area *area, void *context), void *context);

struct memory_counts {
    uint64_t limit;     /* pages */
    uint64_t committed; /* pages, LibOS included */
    uint64_t mapped;    /* pages in areas of the space */
};
void memory_count(const struct space *space, struct memory_counts *counts);
/* RLIMIT_AS and RLIMIT_DATA: nothing is mapped into the current space beyond them. */
void memory_set_limits(uint64_t mapped_pages, uint64_t data_pages);

/* The heap of brk() in the current space begins here and is empty. */
void heap_start(user_address start);

/* Where a program of this length may lie, with room for its heap behind it: the first at PROGRAM_BASE. 0: nowhere. */
#define PROGRAM_BASE 0x400000000ULL
user_address memory_program_place(uint64_t length);

/* The stack of the first program stands at the top of the range; below its guard, mappings without an address are
 * placed from the top down, stacks of other programs too. */
#define STACK_TOP (APPLICATION_END - PAGE_SIZE)
#define STACK_SIZE 0x800000ULL
#define STACK_GUARD 0x100000ULL

/* What identifies and describes a file, for mappings and for execve. */
struct file_facts {
    uint64_t device; /* with inode: the identity of the file */
    uint64_t inode;
    uint64_t size;
    uint32_t mode; /* type and permissions, as in stat */
    uint32_t uid;
    uint32_t gid;
    bool zeros;        /* /dev/zero: map anonymous memory instead */
    bool forbids_exec; /* mmap and mprotect must refuse PROT_EXEC: a volume without the flag `exec` */
};

/*
 * Files, as mappings and programs need them; fs/ sets these when it starts. None touches application memory or waits
 * while it holds a file system lock, so all may be called from the page fault path. Buffers are LibOS memory, or
 * application memory that the caller has committed.
 */
struct file_upcalls {
    void (*get)(struct file *file); /* one more count */
    void (*put)(struct file *file);
    /* The file behind a descriptor with one more count, or NULL (EBADF). */
    struct file *(*of_descriptor)(int descriptor);
    void (*describe)(struct file *file, struct file_facts *facts);
    /* Bytes read: less than `length` only at the end of the file; or a negative errno (-EIO: verification failed). */
    int64_t (*read_at)(struct file *file, void *buffer, size_t length, uint64_t offset);
    /* Write back a shared mapping. */
    int64_t (*write_at)(struct file *file, const void *buffer, size_t length, uint64_t offset);
    /* May this file be mapped so? `protection` and `flags` as in mmap. 0, -EACCES, -ENODEV or -EPERM (forbids_exec). */
    int64_t (*check_mapping)(struct file *file, int protection, int flags);
};
extern struct file_upcalls file_upcalls;

#endif
