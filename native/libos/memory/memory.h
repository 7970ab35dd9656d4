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
    PROT_NONE = 0, PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4, PROT_SEM = 8, PROT_GROWSDOWN = 0x01000000,
    PROT_GROWSUP = 0x02000000,
};

enum map_flag {
    MAP_SHARED = 0x01, MAP_PRIVATE = 0x02, MAP_SHARED_VALIDATE = 0x03, MAP_TYPE = 0x0F, MAP_FIXED = 0x10,
    MAP_ANONYMOUS = 0x20, MAP_GROWSDOWN = 0x0100, MAP_DENYWRITE = 0x0800, MAP_LOCKED = 0x2000, MAP_NORESERVE = 0x4000, MAP_POPULATE = 0x8000,
    MAP_NONBLOCK = 0x10000, MAP_STACK = 0x20000, MAP_HUGETLB = 0x40000, MAP_FIXED_NOREPLACE = 0x100000,
    /* Of the LibOS alone: */
    MAP_NOT_FORKED = 0x01000000,       /* MADV_DONTFORK */
    MAP_WIPED_BY_FORK = 0x02000000,    /* MADV_WIPEONFORK */
    MAP_LOCKED_ON_FAULT = 0x04000000,  /* with MAP_LOCKED: pages come when they are touched */
    MAP_PRISTINE = 0x08000000,         /* of a measured file, or trampolines of its text: pages that nobody can have stored to (loaded.h) */
    MAP_WHOLE_STACK = 0x10000000,      /* a program's first stack, which need not grow */
    MAP_PATCHED_WHOLE = 0x20000000,  /* a text that is read and patched at once, however large it is */
    MAP_NEVER_WRITABLE = 0x40000000, /* mprotect(PROT_WRITE) is EACCES */
    MAP_ON_TOUCH = 0x80000000,       /* pages of a measured file are read and verified when they are touched */
    MAP_SEALED = 0x200,                /* mseal(2); no flag of mmap(2) has this bit */
#define MAP_INTERNAL 0xFF000000U
};

/* Sets this room's part of wait_upcalls. */
void memory_start(void);
/* Gives back what is only kept for later, if others lack memory. The caller has no lock. */
void memory_relieve(void);

/* What one program has of the application's range. Processes share one from vfork to execve. */
struct space;
/* The first program's, which is there from the start. */
extern struct space first_space;
/* NULL: out of memory. One count; the areas go with the last one. */
struct space *space_create(void);
struct space *space_get(struct space *space);
void space_put(struct space *space);
/* Another process has it, too. */
bool space_is_shared(const struct space *space);
/* Its areas go now; it stays, empty, without limits, alone at its addresses. Nobody else may use it. */
void space_clear(struct space *space);
/* The same for a program that wants to lie in [start, end), and nowhere else: the space takes turns with the one that lies there. 0, -ENOMEM: memory, or
 * the next function's; the space is empty then. It may be the calling thread's. */
int64_t space_clear_for(struct space *space, user_address start, user_address end);
/* -ENOMEM: several lie there that do not take turns with each other. */
int64_t space_check_place(const struct space *space, user_address start, user_address end);
/* A copy of the calling thread's, with one count; the calling thread's is resident, the other one is not. 0 or -ENOMEM. */
int64_t space_fork(struct space **copy);
/* The calling thread goes on in that one; nothing is counted. */
void space_enter(struct space *space);
/* The calling thread looks at memory of another process and is, for that time, in its space: nothing ends it meanwhile. -ESRCH: it has ended; -EBUSY: a
 * program is just being loaded there. */
int64_t space_visit(struct space *space);
/* Back to its own. */
void space_end_visit(struct space *own);
/* No other process has it, and nobody visits it until space_release(). False: that is not so. */
bool space_claim(struct space *space);
void space_release(struct space *space);
/* Where threads are that have no program: it has no areas. */
extern struct space libos_space;

/*
 * Turns (turns.c). Spaces that overlap form a group of which one is resident. A thread that is "away" (thread->away) does not keep its space resident: it
 * has slept, or has made room. Before it touches application memory, or goes back to the application, it waits until its space is resident.
 */
/* The copy that the calling thread has made is resident from now on, as if a thread ran in it already. False: another has to run first. */
bool space_hand_over(struct space *copy);
/* That thread does not come. */
void space_take_back(struct space *copy);
/* The calling thread does not touch application memory before it has waited for its turn. */
void space_go_away(void);
/* The same, and who waits for a turn comes before it: sched_yield(2). */
void space_yield(void);
/* At the end of an exception in a user copy: it goes on. */
void space_reach(void);

/* What the memory room needs of the rooms above. */
struct space_upcalls {
    /* process: the threads of the space that are not away come to the LibOS. */
    void (*attract)(const struct space *space);
    /* process: where the system call goes on that the calling thread makes. */
    user_address (*return_address)(void);
};
extern struct space_upcalls space_upcalls;

/* An instruction that runs elsewhere (step.c), and what the thread's last faults were. Private to step.c. */
#define STEP_OPERAND 64U /* bytes: the largest operand of an instruction but for those that save states */
struct step {
    struct context last;
    user_address pages[2];
    user_address rip, next;   /* where the instruction is, and the one behind it */
    user_address slot;        /* where it runs; 0: there is none */
    size_t length;            /* there */
    user_address operand;     /* whose copy lies behind the slot's page */
    size_t operand_size;      /* 0: the operand is used where it is */
    uint8_t before[STEP_OPERAND];
};

/* What this room keeps of a task: struct task begins with it. */
struct resident {
    struct sleeper sleeper;
    struct space *space;
    struct step step;
};
static inline struct step *current_step(void)
{
    return &((struct resident *)current_task())->step;
}
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
    uint32_t flags;                /* MAP_SHARED or MAP_PRIVATE, MAP_ANONYMOUS, MAP_LOCKED */
    struct file *file;             /* counted; NULL when anonymous */
    struct shared_object *object;  /* counted; MAP_SHARED alone */
    uint64_t offset;               /* of start in the file or the object */
};

/*
 * What MAP_SHARED mappings show: a file, a System V segment, shared anonymous memory (docs/libos.md, "Shared mappings"). Each page is at one address at
 * a time: in a mapping, or at home, which is a page of the LibOS's own. Where it is changes under the memory lock and the object's lock; who
 * holds the object's lock may touch pages that object_lock_pages() has made reachable, wherever they are.
 */
struct shared_object;
struct object_operations {
    /* How many bytes there are: a page behind them is SIGBUS. If they are fewer than `wanted`, who keeps them elsewhere looks there. NULL:
     * object->size. */
    uint64_t (*size)(struct shared_object *object, uint64_t wanted);
    /* What pages show that were never changed in memory: zeros behind the end. 0, -EIO, -ENOMEM. NULL: zeros. */
    int64_t (*read)(struct shared_object *object, uint64_t offset, uint8_t *to, size_t length);
    /* The object is kept elsewhere: which pages were stored to is tracked, and only these are written, up to the object's size. Bytes, or a negative
     * errno. NULL: its pages are the object. */
    int64_t (*write)(struct shared_object *object, uint64_t offset, const uint8_t *from, size_t length);
    /* What was written stays, whatever happens: msync(MS_SYNC). NULL: there is nothing to wait for. */
    int64_t (*sync)(struct shared_object *object);
    /* The last count is gone; there are no pages. NULL: whoever has the object is counted otherwise. */
    void (*unused)(struct shared_object *object);
};

struct page_index {
    struct page_chunk **chunks;
    size_t chunk_count;
};

struct shared_object {
    const struct object_operations *operations;
    struct mutex lock;
    struct page_index pages;
    uint64_t id;         /* never used again: futexes are known by it */
    uint64_t size;
    uint64_t page_count; /* but for those that are PLACE_NEARBY; atomic */
    bool has_nearby;     /* there may be such */
    bool is_removed;     /* nobody can find it any more but through its mappings; atomic */
    uint32_t references; /* atomic */
    uint32_t mappings;   /* areas; atomic */
    bool locked_whole, locked_memory; /* by who has the lock: all of it, and the memory lock with it */
    const struct thread *mover; /* the last one that brought a page into a view */
};

/* One count; all-zero before. */
void object_start(struct shared_object *object, const struct object_operations *operations);
void object_get(struct shared_object *object);
void object_put(struct shared_object *object);

/* Locks the object so that its pages in [first, end) can be read, or written, where object_page() finds them. -ENOMEM: not locked. */
int64_t object_lock_pages(struct shared_object *object, uint64_t first, uint64_t end, bool writes);
/* Locks it so that pages can be dropped as well. The caller has the memory lock, or no lock that is taken while a page fault is served. */
void object_lock_whole(struct shared_object *object);
void object_unlock(struct shared_object *object);
/* NULL: none is in memory. */
uint8_t *object_page(struct shared_object *object, uint64_t page);
/* The same for who changes it; pages of objects that are kept elsewhere must be written there, too. */
uint8_t *object_page_to_change(struct shared_object *object, uint64_t page);
/* A zeroed page where there was none, to be filled; NULL: out of memory. */
uint8_t *object_create_page(struct shared_object *object, uint64_t page);
/* The same for a page that is only set aside: it is a hole until it is written. False: out of memory. */
bool object_reserve_page(struct shared_object *object, uint64_t page);
/* After object_lock_whole(): gives back what is only set aside. */
void object_drop_reserved(struct shared_object *object, uint64_t first, uint64_t end);
/* Nobody but its mappings will look for the object's pages: those at home go. */
void object_discard(struct shared_object *object);
/* The first page in [*page, end) that is in memory, and not only set aside, becomes *page; false: none is. */
bool object_next_page(struct shared_object *object, uint64_t *page, uint64_t end);
/* How many pages are in memory, used or set aside. Takes the lock. */
uint64_t object_page_count(struct shared_object *object);
/* After object_lock_whole(): takes the pages in [first, end) out of memory, and out of mappings. */
void object_drop(struct shared_object *object, uint64_t first, uint64_t end);
/* Writes what was stored to pages in [first, end) and not written yet. Takes the locks. 0 or the first error. */
int64_t object_write_back(struct shared_object *object, uint64_t first, uint64_t end);
#define OBJECT_PAGES_MAX (UINT64_MAX / PAGE_SIZE)

/* The mmap family for the LibOS itself, in the current space: an address or a negative errno. A fixed address where
 * another space's area lies is -ENOMEM. */
int64_t memory_map(user_address address, uint64_t length, uint32_t protection, uint32_t flags,
                   struct file *file, uint64_t offset);
/* A shared mapping of an object that is no file. */
int64_t memory_map_object(user_address address, uint64_t length, uint32_t protection, uint32_t flags,
                          struct shared_object *object);
/* The object with these operations whose mapping begins there, as shmdt(2) looks for it, with one more count; or NULL. */
struct shared_object *memory_object_at(user_address start, const struct object_operations *operations);
/* Unmaps what is left of that mapping. */
void memory_detach(user_address start, const struct shared_object *object);
int64_t memory_unmap(user_address address, uint64_t length);
/* PROT_GROWSDOWN: from where the area begins. Nothing grows up. */
int64_t memory_protect(user_address address, uint64_t length, uint32_t protection);

enum fault_access { FAULT_READ = 1, FAULT_WRITE = 2, FAULT_EXECUTE = 4 };

/* What was stored to shared mappings of files that are kept elsewhere is written there: the process ends. */
void memory_write_back(void);

/* From now on there are several threads. */
void memory_is_not_alone(void);
/* The most that one page fault brings of memory that is touched from its start to its end. */
void memory_set_fault_around(uint64_t bytes);

/* Serve a page fault: 0 when the page is there now; -EFAULT: no area (SEGV_MAPERR); -EACCES: SEGV_ACCERR;
 * -ENOMEM, -EIO: SIGBUS. */
int64_t memory_fault(user_address address, enum fault_access access);
/* The same for an instruction of the application, which may go on elsewhere from then on: whatever else becomes of the context, step_end() comes first. */
int64_t memory_fault_of(struct context *context, user_address address, enum fault_access access);
bool step_is_done(const struct context *context);
/* Does nothing if the instruction runs where it is. -EFAULT: it has not been done, since its operand cannot be written. */
int64_t step_end(struct context *context);

/* Calls `each` for every area of the current space (or NULL: of all) in order, on copies (files counted for the call's time).
 * Stops when it returns false. */
void memory_each(const struct space *space, bool (*each)(const struct area *area, void *context), void *context);

struct memory_counts {
    uint64_t limit;     /* pages */
    uint64_t committed; /* pages, LibOS included */
    uint64_t mapped;    /* pages in areas of the space */
    uint64_t locked;    /* of these, in areas with MAP_LOCKED */
};
void memory_count(const struct space *space, struct memory_counts *counts);
/* Of a space, resident or not, in pages, as proc(5) counts. The space may have ended: then it has none. */
struct space_counts {
    uint64_t mapped, locked, resident, resident_of_files, resident_shared, text, data, stack;
};
void memory_count_space(const struct space *space, struct space_counts *counts);
/* Of an area, in pages: what is committed there, and what of it differs from its file, or may. */
struct area_counts {
    uint64_t resident, dirty;
};
void memory_count_area(const struct area *area, struct area_counts *counts);
/* Which of the current space's pages from `start` on are in some area (1), and there (2), of a file or shared memory (4). */
enum page_state { PAGE_MAPPED = 1, PAGE_PRESENT = 2, PAGE_OF_FILE = 4 };
void memory_look_at_pages(user_address start, uint8_t *states, size_t count);
/* What is mapped into a space, locked there, or grows there, stays within them. UINT64_MAX: no limit. */
struct memory_limits {
    uint64_t mapped, data;  /* pages: RLIMIT_AS, RLIMIT_DATA */
    uint64_t locked, stack; /* bytes: RLIMIT_MEMLOCK, RLIMIT_STACK */
};
#define NO_MEMORY_LIMITS ((struct memory_limits){UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX})
/* For the current space. */
void memory_set_limits(const struct memory_limits *limits);

/* The heap of brk() in the current space begins here and is empty. */
void heap_start(user_address start);
/* The same in a place of its own, behind a page that nobody can touch: programs that are linked for one address take turns there, and not for their heaps.
 * `otherwise`: where, if there is none. */
void heap_start_apart(user_address otherwise);
/* Does the heap reach into the area? */
bool heap_is_in(const struct area *area);

/* Reserves addresses in the current space for an ELF object of this file, which is mapped there next: `start`, or where it suits if it is 0. Programs have room
 * for a heap behind them; the first lies at PROGRAM_BASE. An address, -ENOMEM, or -EEXIST: `start` is taken. */
#define PROGRAM_BASE 0x400000000ULL
enum loaded_kind { LOADED_PROGRAM, LOADED_INTERPRETER };
int64_t memory_reserve(struct file *file, user_address start, uint64_t length, enum loaded_kind kind);

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
    bool has_last_offset; /* INT64_MAX: of regular files and, in Linux, of sockets */
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
    /* What a shared mapping of the file shows, with one more count. 0, -ENOMEM or an errno of the host's. */
    int64_t (*object_of)(struct file *file, struct shared_object **object);
    /* Is its content that of the image, as far as anybody knows? */
    bool (*is_measured)(struct file *file);
    /* The image's content, whatever was written since; takes no lock but those of verified data. As read_at. */
    int64_t (*read_measured)(struct file *file, void *buffer, size_t length, uint64_t offset);
    /* May this file be mapped so? `protection` and `flags` as in mmap. 0, -EACCES, -ENODEV or -EPERM (forbids_exec). */
    int64_t (*check_mapping)(struct file *file, int protection, int flags);
    /* Zeros instead of these bytes, as FALLOC_FL_PUNCH_HOLE: 0, -EOPNOTSUPP or another errno of fallocate(2). The caller has no lock. */
    int64_t (*punch_hole)(struct file *file, uint64_t offset, uint64_t length);
};
extern struct file_upcalls file_upcalls;

#endif
