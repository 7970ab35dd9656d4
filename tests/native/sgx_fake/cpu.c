/*
 * ENCLU as the CPU does it (SDM volume 3D, chapter "SGX Instruction References"), on the frame of the signal that it has raised here. Nothing in here may
 * use the FS base of an enclave: callers have set that of the host.
 */
#include <cpuid.h>
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

#include "fake.h"

enum { LEAF_EREPORT, LEAF_EGETKEY, LEAF_EENTER, LEAF_ERESUME, LEAF_EEXIT, LEAF_EACCEPT, LEAF_EMODPE, LEAF_EACCEPTCOPY };
#define ENCLU_SIZE 3

uint64_t read_fs(void)
{
    uint64_t value;
    __asm__ volatile("rdfsbase %0" : "=r"(value));
    return value;
}

void write_fs(uint64_t value)
{
    __asm__ volatile("wrfsbase %0" : : "r"(value) : "memory");
}

static uint64_t read_gs(void)
{
    uint64_t value;
    __asm__ volatile("rdgsbase %0" : "=r"(value));
    return value;
}

void write_gs(uint64_t value)
{
    __asm__ volatile("wrgsbase %0" : : "r"(value) : "memory");
}

struct thread_control *control_inside(void)
{
    uint64_t gs = read_gs();
    for (unsigned index = 0; index < control_count; index++) {
        if (__atomic_load_n(&controls[index].busy, __ATOMIC_ACQUIRE) && secs.base + controls[index].ogsbase == gs) {
            return &controls[index];
        }
    }
    return NULL;
}

static bool is_lost;

static struct exception lost_page(uint64_t address)
{
    return (struct exception){V_PF, FAULT_P | FAULT_W | FAULT_U | FAULT_SGX, address};
}

static struct thread_control *find_control(uint64_t address)
{
    for (unsigned index = 0; index < control_count; index++) {
        if (controls[index].address == address) {
            return &controls[index];
        }
    }
    return NULL;
}

bool cpu_has_frame(uint64_t tcs)
{
    const struct thread_control *control = find_control(tcs);
    return control && control->cssa < control->nssa;
}

/* The state of a thread, in its SSA. */

struct gpr {
    uint64_t ax, cx, dx, bx, sp, bp, si, di, r8, r9, r10, r11, r12, r13, r14, r15, flags, ip, usp, ubp;
    uint32_t exit_info, zero;
    uint64_t fs, gs;
};

struct extra {
    uint64_t address;
    uint32_t error, zero;
};

static const int ORDER[18] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI, REG_R8,
                              REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_EFL, REG_RIP};

static uint64_t frame_size(void)
{
    return secs.ssa_pages * PAGE;
}

static uint64_t frame_of(const struct thread_control *control, uint64_t number)
{
    return secs.base + control->ossa + number * frame_size();
}

static struct gpr *gpr_of(uint64_t frame)
{
    return (struct gpr *)(store + frame + frame_size() - sizeof(struct gpr));
}

static struct extra *extra_of(uint64_t frame)
{
    return (struct extra *)gpr_of(frame) - 1;
}

static bool has_frame(uint64_t frame)
{
    if (frame - secs.base >= secs.size || frame_size() > secs.base + secs.size - frame) {
        return false;
    }
    for (uint64_t page = frame; page < frame + frame_size(); page += PAGE) {
        if ((*page_of(page) & (P_VALID | P_PENDING | P_MODIFIED | P_TYPE | P_R | P_W)) != (P_VALID | P_REG | P_R | P_W)) {
            return false;
        }
    }
    return true;
}

/* XSAVE images of signal frames: the kernel says at byte 464 how much there is. */

#define LEGACY 512
#define MAGIC 0x46505853U

static uint32_t image_size(const uint8_t *image)
{
    uint32_t magic, size;
    memcpy(&magic, image + 464, 4);
    memcpy(&size, image + 464 + 16, 4);
    if (magic != MAGIC || size < LEGACY + 64) {
        refuse("signal frames without XSAVE");
    }
    return size < 2688 ? size : 2688;
}

static void save_vectors(uint8_t *to, uint8_t *image)
{
    static const uint32_t initial = 0x1F80;
    uint64_t features, none = 0;
    uint32_t size = image_size(image);
    memcpy(to, image, size);
    memset(to + 464, 0, 48);
    memcpy(&features, image + LEGACY, 8);
    features &= secs.xfrm;
    memset(to + LEGACY, 0, 64);
    memcpy(to + LEGACY, &features, 8);
    memcpy(image + LEGACY, &none, 8); /* what the host finds: the initial state */
    memcpy(image + 24, &initial, 4);
}

static bool load_vectors(uint8_t *image, const uint8_t *from)
{
    uint64_t features;
    uint32_t mxcsr, size = image_size(image);
    memcpy(&features, from + LEGACY, 8);
    memcpy(&mxcsr, from + 24, 4);
    for (unsigned index = 8; index < 64; index++) {
        if (from[LEGACY + index]) {
            return false;
        }
    }
    if ((features & ~secs.xfrm) || (mxcsr & ~0x2FFFFU)) {
        return false;
    }
    memcpy(image, from, 464);
    memcpy(image + LEGACY, &features, 8);
    memcpy(image + LEGACY + 64, from + LEGACY + 64, size - LEGACY - 64);
    return true;
}

static void go_inside(struct thread_control *control, uint64_t fs, uint64_t gs)
{
    control->host_fs = read_fs();
    control->host_gs = read_gs();
    write_fs(fs);
    write_gs(gs);
}

static void go_outside(struct thread_control *control)
{
    write_fs(control->host_fs);
    write_gs(control->host_gs);
}

/* `syscall` is illegal inside. Once for each thread; FS is the host's. */
static void trap_system_calls(void)
{
    static __thread bool is_done;
    if (!is_done && prctl(59 /* PR_SET_SYSCALL_USER_DISPATCH */, 1, SPACE, 0x7FFFFFFFF000UL - SPACE, 0) != 0) {
        refuse("no Syscall User Dispatch: %d", errno);
    }
    is_done = true;
}

/* The checks of EENTER and ERESUME; takes the TCS. */
static struct exception take_control(const greg_t *registers, struct thread_control **taken)
{
    static uint64_t entries;
    uint64_t address = (uint64_t)registers[REG_RBX], after = setting("FAKE_LOST", 0);
    if (after && __atomic_add_fetch(&entries, 1, __ATOMIC_RELAXED) >= after) {
        is_lost = true;
    }
    struct thread_control *control = find_control(address);
    if (address % PAGE) {
        return GENERAL_PROTECTION;
    }
    if (!control || (*page_of(address) & (P_VALID | P_MODIFIED | P_PENDING | P_TYPE)) != (P_VALID | P_TCS) || is_lost) {
        return lost_page(address);
    }
    if (control->ossa % PAGE || control->ofsbase % PAGE || control->ogsbase % PAGE || control->flags || !is_initialized) {
        return GENERAL_PROTECTION;
    }
    if (__atomic_exchange_n(&control->busy, 1, __ATOMIC_ACQ_REL)) {
        return GENERAL_PROTECTION;
    }
    track_entry(control);
    *taken = control;
    return NO_EXCEPTION;
}

static struct exception give_back(struct thread_control *control, struct exception exception)
{
    track_exit(control);
    return exception;
}

struct exception cpu_eenter(ucontext_t *frame)
{
    greg_t *registers = frame->uc_mcontext.gregs;
    struct thread_control *control = NULL;
    struct exception exception = take_control(registers, &control);
    if (exception.vector >= 0) {
        return exception;
    }
    uint64_t area = frame_of(control, control->cssa), entry = secs.base + control->oentry;
    if (control->cssa >= control->nssa || (uint64_t)registers[REG_RCX] >> 47) {
        return give_back(control, GENERAL_PROTECTION);
    }
    if (!has_frame(area)) {
        return give_back(control, lost_page(area));
    }
    if (entry >> 47 || (secs.base + control->ofsbase) >> 47 || (secs.base + control->ogsbase) >> 47) {
        return give_back(control, GENERAL_PROTECTION);
    }
    if (entry - secs.base >= secs.size) {
        refuse("OENTRY is 0x%llx", (unsigned long long)control->oentry);
    }
    trap_system_calls();
    count(N_EENTER);
    gpr_of(area)->usp = (uint64_t)registers[REG_RSP];
    gpr_of(area)->ubp = (uint64_t)registers[REG_RBP];
    control->aep = (uint64_t)registers[REG_RCX];
    registers[REG_RCX] = registers[REG_RIP] + ENCLU_SIZE;
    registers[REG_RAX] = (greg_t)control->cssa;
    registers[REG_RIP] = (greg_t)entry;
    go_inside(control, secs.base + control->ofsbase, secs.base + control->ogsbase);
    return NO_EXCEPTION;
}

struct exception cpu_eresume(ucontext_t *frame)
{
    greg_t *registers = frame->uc_mcontext.gregs;
    struct thread_control *control = NULL;
    uint64_t aep = (uint64_t)registers[REG_RCX];
    struct exception exception = take_control(registers, &control);
    if (exception.vector >= 0) {
        return exception;
    }
    if (control->cssa == 0 || aep >> 47) {
        return give_back(control, GENERAL_PROTECTION);
    }
    uint64_t area = frame_of(control, control->cssa - 1);
    if (!has_frame(area)) {
        return give_back(control, lost_page(area));
    }
    const struct gpr *gpr = gpr_of(area);
    if (gpr->ip >> 47 || gpr->fs >> 47 || gpr->gs >> 47 || !load_vectors((uint8_t *)frame->uc_mcontext.fpregs, store + area)) {
        return give_back(control, GENERAL_PROTECTION);
    }
    count(N_ERESUME);
    control->cssa--;
    control->aep = aep;
    for (unsigned index = 0; index < 18; index++) {
        registers[ORDER[index]] = (greg_t)((const uint64_t *)gpr)[index];
    }
    go_inside(control, gpr->fs, gpr->gs);
    return NO_EXCEPTION;
}

/* #DE #DB #BP #BR #UD #MF #AC #XM, and with EXINFO #GP #PF. */
static uint32_t exit_info_of(int vector)
{
    bool is_told = vector >= 0 && vector < 32 && (0xB006BU >> vector & 1 || (secs.misc & 1 && (vector == V_GP || vector == V_PF)));
    return is_told ? 1U << 31 | (vector == 3 ? 6U : 3U) << 8 | (unsigned)vector : 0;
}

void cpu_aex(struct thread_control *control, ucontext_t *frame, struct exception exception)
{
    greg_t *registers = frame->uc_mcontext.gregs;
    uint64_t area = frame_of(control, control->cssa);
    struct gpr *gpr = gpr_of(area);
    if (control->cssa >= control->nssa) {
        refuse("an AEX without an SSA frame");
    }
    count(N_AEX);
    for (unsigned index = 0; index < 18; index++) {
        ((uint64_t *)gpr)[index] = (uint64_t)registers[ORDER[index]];
    }
    save_vectors(store + area, (uint8_t *)frame->uc_mcontext.fpregs);
    gpr->exit_info = exit_info_of(exception.vector);
    gpr->fs = control->fs; /* who calls has put it there, and taken the host's */
    gpr->gs = read_gs();
    if (secs.misc & 1) {
        *extra_of(area) = (struct extra){exception.vector == V_PF ? exception.address : 0, exception.vector == V_PF || exception.vector == V_GP ? exception.error : 0, 0};
    }
    greg_t flags = registers[REG_EFL] & ~0x8D5; /* status flags and DF */
    for (unsigned index = 0; index < 18; index++) {
        registers[ORDER[index]] = 0;
    }
    registers[REG_RAX] = LEAF_ERESUME;
    registers[REG_RBX] = (greg_t)control->address;
    registers[REG_RCX] = registers[REG_RIP] = (greg_t)control->aep;
    registers[REG_RSP] = (greg_t)gpr->usp;
    registers[REG_RBP] = (greg_t)gpr->ubp;
    registers[REG_EFL] = flags | 2;
    control->cssa++;
    go_outside(control);
    track_exit(control);
}

static struct exception eexit(struct thread_control *control, greg_t *registers)
{
    uint64_t to = (uint64_t)registers[REG_RBX];
    if (to >> 47) {
        return GENERAL_PROTECTION;
    }
    if (to - secs.base < secs.size) {
        refuse("EEXIT to 0x%llx", (unsigned long long)to);
    }
    count(N_EEXIT);
    registers[REG_RCX] = (greg_t)control->aep;
    registers[REG_RIP] = (greg_t)to;
    go_outside(control);
    track_exit(control);
    return NO_EXCEPTION;
}

struct exception cpu_inside(struct thread_control *control, ucontext_t *frame)
{
    greg_t *registers = frame->uc_mcontext.gregs;
    struct exception exception = GENERAL_PROTECTION;
    switch (registers[REG_RAX]) {
    case LEAF_EREPORT:
        exception = cpu_ereport(registers);
        break;
    case LEAF_EGETKEY:
        exception = cpu_egetkey(registers);
        break;
    case LEAF_EEXIT:
        return eexit(control, registers);
    case LEAF_EACCEPT:
        exception = cpu_eaccept(registers);
        break;
    case LEAF_EMODPE:
        exception = cpu_emodpe(registers);
        break;
    case LEAF_EACCEPTCOPY:
        exception = cpu_eacceptcopy(registers);
        break;
    }
    registers[REG_RIP] += exception.vector < 0 ? ENCLU_SIZE : 0;
    return exception;
}

uint64_t cpu_features(void)
{
    return is_set("FAKE_CPU", "sse") ? 3 : 0xE7;
}

/* CPUID of a CPU with SGX2. */
int fake_cpuid(unsigned leaf, unsigned subleaf, unsigned *a, unsigned *b, unsigned *c, unsigned *d)
{
    int found = __get_cpuid_count(leaf, subleaf, a, b, c, d);
    if (leaf == 7 && subleaf == 0) {
        *b = is_set("FAKE_CPU", "none") ? *b & ~4U : *b | 4U;
    } else if (leaf == 0x12) {
        bool is_first = subleaf == 0;
        *a = is_first ? (is_set("FAKE_CPU", "sgx1") ? 1U : 3U) : 0xF6U;
        *b = is_first ? 1 : 0;
        *c = is_first ? 0 : (unsigned)cpu_features();
        *d = is_first ? (is_set("FAKE_CPU", "small") ? 35U : 56U) << 8 | 31U : 0;
        found = 1;
    }
    return found;
}
