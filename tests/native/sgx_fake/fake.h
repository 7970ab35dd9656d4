/*
 * A CPU with SGX2 and Linux's driver for it, for tests: written from the manuals (Intel SDM volume 3D; Linux, Documentation/arch/x86/sgx.rst and
 * uapi/asm/sgx.h), and from nothing in native/pal. It is strict: what hardware or kernel would refuse is refused, with their errors.
 *
 * Pages lie in one memory file, at the offset that is their address; the CPU reads and writes them by a second mapping of it. ENCLU is an illegal
 * instruction on the machine that runs this, so each one comes here as SIGILL.
 *
 * Variables: FAKE_JUDGE: the descriptor of what verifies for EINIT. FAKE_EPC: pages there are. FAKE_PARTIAL: requests end after so many pages, and are
 * interrupted. FAKE_SPURIOUS, FAKE_INTERRUPT: each so many-th instruction that comes here is interrupted first, without and with a signal, and passes when it
 * comes again. FAKE_LOST: the entry at which all pages are lost. FAKE_LIE, FAKE_LIE_EACH: a hostile kernel lies so, each so many-th time: no-page (EAUG
 * is not made), idle (requests that are not done succeed), too-many (more is done than was asked), restrict, remove (of what nobody asked to), untracked
 * (no ETRACK), read-only (mappings), again (EENTER for ERESUME), skip (ERESUME for EENTER after an exception), exception (another one is told). FAKE_CPU: none, sgx1, small, sse
 * (no AVX in enclaves). FAKE_KERNEL: none, 5.19, vdso=0, forbidden, noexec, launch-control, "setarch -X". FAKE_REPORT: counts at the end. FAKE_COUNTS: a file that has
 * them at any time, 8 bytes each, in the order of the enumeration below.
 */
#ifndef SGX_FAKE_H
#define SGX_FAKE_H

#undef access
#undef open
#undef ioctl
#undef mmap
#undef pwritev
#undef sigaction
#undef getauxval
#undef __get_cpuid_count

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <ucontext.h>

#define PAGE 4096ULL
#define SPACE_BITS 36 /* of what this fake keeps tables for */
#define SPACE (1ULL << SPACE_BITS)

/* EPCM entries. */
enum { P_R = 1, P_W = 2, P_X = 4, P_RIGHTS = 7, P_VALID = 8, P_PENDING = 0x10, P_MODIFIED = 0x20, P_PR = 0x40, P_TCS = 0x100, P_REG = 0x200, P_TRIM = 0x400, P_TYPE = 0x700 };
#define P_MAX_SHIFT 12 /* the driver's: the most that a mapping may allow */
extern uint16_t *pages;
static inline uint16_t *page_of(uint64_t address)
{
    return &pages[address / PAGE];
}

/* The second mapping. */
extern uint8_t *store;

struct thread_control {
    uint64_t address, flags, ossa, oentry, ofsbase, ogsbase, nssa;
    uint64_t cssa, aep, host_fs, host_gs, fs;
    uint32_t busy;
    bool is_again; /* a lie: the entry is one too many */
    uint64_t epoch; /* of its entry; EPOCH_OUTSIDE until that is known */
    int host_thread;
    uint64_t interrupted[4]; /* by CSSA: the instruction that was interrupted before it was done; 0: none */
};
extern struct thread_control controls[4096];
extern unsigned control_count;

struct secs_fields {
    uint64_t size, base, ssa_pages, misc, flags, xfrm;
};
extern struct secs_fields secs;
extern uint8_t measurement[32], signer[32];
extern uint16_t product[2]; /* ISVPRODID, ISVSVN */
extern bool is_created, is_initialized;

struct exception {
    int vector; /* -1: none */
    uint32_t error;
    uint64_t address;
};
enum { V_UD = 6, V_GP = 13, V_PF = 14 };
enum { FAULT_P = 1, FAULT_W = 2, FAULT_U = 4, FAULT_I = 16, FAULT_SGX = 0x8000 };
#define NO_EXCEPTION ((struct exception){.vector = -1})
#define GENERAL_PROTECTION ((struct exception){.vector = V_GP})

void take(void);
void give(void); /* the lock of all tables */

/* cpu.c */
struct thread_control *control_inside(void); /* of the calling thread; NULL: it is outside */
bool cpu_has_frame(uint64_t tcs); /* can it be entered? */
struct exception cpu_eenter(ucontext_t *frame);
struct exception cpu_eresume(ucontext_t *frame);
struct exception cpu_inside(struct thread_control *control, ucontext_t *frame); /* a leaf of ENCLU */
void cpu_aex(struct thread_control *control, ucontext_t *frame, struct exception exception);
uint64_t cpu_features(void); /* of XFRM */
uint64_t read_fs(void);
void write_fs(uint64_t value);
void write_gs(uint64_t value);

/* cpu_leaves.c */
struct exception cpu_operand(uint64_t address, uint64_t alignment, uint16_t rights); /* none for a page of the enclave that may be used so */
/* As leaves do, in RAX and ZF; CF, PF, AF, SF and OF are cleared. 0: no error. */
static inline void cpu_tell_error(greg_t *registers, uint64_t error)
{
    registers[REG_RAX] = (greg_t)error;
    registers[REG_EFL] = (registers[REG_EFL] & ~(greg_t)0x8D5) | (error ? 0x40 : 0);
}
struct exception cpu_eaccept(greg_t *registers);
struct exception cpu_emodpe(greg_t *registers);
struct exception cpu_eacceptcopy(greg_t *registers);

/* cpu_keys.c */
struct exception cpu_ereport(greg_t *registers);
struct exception cpu_egetkey(greg_t *registers);

/* driver.c */
extern int fake_device;
extern uint64_t added_start, added_end; /* between them lies what EADD has added */
bool driver_take(void); /* one page of the EPC, if there is one */
void driver_free(uint64_t page);
/* _IOC(direction, 0xA4, number, size): 1 to write, 3 both. */
#define REQUEST(direction, number, size) ((direction) << 30 | (size) << 16 | 0xA4UL << 8 | (number))
#define REQUEST_CREATE REQUEST(1UL, 0, 8UL)
#define REQUEST_ADD REQUEST(3UL, 1, 48UL)
#define REQUEST_INIT REQUEST(1UL, 2, 8UL)
#define REQUEST_RESTRICT REQUEST(3UL, 5, 40UL)
#define REQUEST_TYPES REQUEST(3UL, 6, 40UL)
#define REQUEST_REMOVE REQUEST(3UL, 7, 24UL)
bool is_range(uint64_t offset, uint64_t length); /* of pages of the enclave */
bool all_zero(const uint8_t *bytes, size_t size);

/* mappings.c */
enum verdict { AGAIN, REFUSED };
enum verdict page_fault(struct exception *fault); /* as the kernel answers a #PF at an address of the enclave */
void apply(uint64_t page); /* the real rights of a page */

/* driver_dynamic.c */
int driver_dynamic(unsigned long request, uint64_t *argument); /* 0 or an errno */

/* tracking.c */
#define EPOCH_OUTSIDE UINT64_MAX
void track_entry(struct thread_control *control); /* whose TCS is taken */
void track_exit(struct thread_control *control);  /* gives the TCS back */
void track_change(uint64_t page); /* by EMODPR or EMODT; with the lock */
bool is_tracked(uint64_t page);   /* has every thread left that may know the page as it was? With the lock */
void track(void);                 /* what the kernel does after a change; without the lock */
bool is_kick(const siginfo_t *info);

/* judge.c */
void judge_send(uint32_t kind, const struct iovec *parts, int part_count);
void judge_receive(void *to, size_t size);
void judge_measure(const void *bytes, size_t size);
void judge_record(const char *name, const void *first, size_t first_size, const void *second, size_t second_size);
/* The key that depends on this, and AES-CMAC by it. */
void judge_key(const void *dependencies, size_t size, uint8_t key[16]);
void judge_mac(const void *dependencies, size_t size, const void *message, size_t message_size, uint8_t mac[16]);

/* kernel.c */
void kernel_start(void);

/* faults.c */
uint64_t setting(const char *name, uint64_t otherwise);
bool is_set(const char *name, const char *value);
bool lies(const char *kind); /* true when it is time for this lie */
bool every(const char *name, uint64_t *calls); /* true each time that so many calls have been made */
void count(unsigned what);
enum { N_EENTER, N_ERESUME, N_EEXIT, N_AEX, N_EACCEPT, N_EAUG, N_EREMOVE, N_IOCTL, N_MAX };
_Noreturn void refuse(const char *format, ...) __attribute__((format(printf, 1, 2))); /* the PAL or the enclave did what nobody may */

#endif
