/* The kernel around the driver: the vDSO, and what becomes of exceptions and signals. */
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake.h"

#define SIGNALS 65
static const uint8_t ENCLU[] = {0x0F, 0x01, 0xD7};
static const int FAULTS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
static struct sigaction registered[SIGNALS]; /* what the PAL wants */

extern const uint8_t vdso_file[], vdso_file_end[];
static uint8_t *vdso; /* loaded */
static uint64_t vdso_enclu, vdso_fixup;

static uint64_t find(const uint8_t *start, const uint8_t *end, const void *bytes, size_t size)
{
    const uint8_t *found = memmem(start, (size_t)(end - start), bytes, size);
    if (!found) {
        refuse("the vDSO's image is not as it was made");
    }
    return (uint64_t)found;
}

static void load_vdso(void)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)vdso_file;
    const Elf64_Phdr *segments = (const Elf64_Phdr *)(vdso_file + header->e_phoff);
    uint64_t end = 0;
    for (unsigned index = 0; index < header->e_phnum; index++) {
        uint64_t last = segments[index].p_vaddr + segments[index].p_memsz;
        end = segments[index].p_type == PT_LOAD && last > end ? last : end;
    }
    vdso = mmap(NULL, end, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (vdso == MAP_FAILED) {
        refuse("mmap of the vDSO: %d", errno);
    }
    for (unsigned index = 0; index < header->e_phnum; index++) {
        if (segments[index].p_type == PT_LOAD) {
            memcpy(vdso + segments[index].p_vaddr, vdso_file + segments[index].p_offset, segments[index].p_filesz);
        }
    }
    vdso_enclu = find(vdso, vdso + end, ENCLU, sizeof(ENCLU));
    vdso_fixup = find(vdso, vdso + end, "FIXUP-->", 8) + 8;
}

unsigned long fake_getauxval(unsigned long type)
{
    if (type != AT_SYSINFO_EHDR) {
        return getauxval(type);
    }
    if (!vdso) {
        load_vdso();
    }
    return is_set("FAKE_KERNEL", "vdso=0") ? 0 : (unsigned long)vdso;
}

/* As the kernel does after an exception at the vDSO's ENCLU; RAX is the leaf. */
static void fix_up(greg_t *registers, struct exception exception)
{
    registers[REG_RDI] = exception.vector;
    registers[REG_RSI] = exception.error;
    registers[REG_RDX] = (greg_t)exception.address;
    registers[REG_RIP] = (greg_t)vdso_fixup;
}

static void deliver(int signal, siginfo_t *info, void *frame)
{
    const struct sigaction *action = &registered[signal];
    if (action->sa_flags & SA_SIGINFO) {
        action->sa_sigaction(signal, info, frame);
        return;
    }
    const greg_t *registers = ((ucontext_t *)frame)->uc_mcontext.gregs;
    refuse("signal %d outside of the enclave, at 0x%llx, address 0x%llx", signal, (unsigned long long)registers[REG_RIP], (unsigned long long)registers[REG_CR2]);
}

static bool is_enclu(uint64_t rip)
{
    return rip < SPACE && rip <= SPACE - sizeof(ENCLU) && memcmp(store + rip, ENCLU, sizeof(ENCLU)) == 0;
}

/* Nobody handles it: the same exception comes without an end. */
static void watch(const greg_t *registers, struct exception exception)
{
    static __thread uint64_t last, times;
    uint64_t now = exception.address ^ (uint64_t)exception.vector << 56 ^ (uint64_t)registers[REG_RBX];
    times = now == last && exception.vector == V_PF ? times + 1 : 0;
    last = now;
    if (times > 1000) {
        refuse("the page fault at 0x%llx comes again and again", (unsigned long long)exception.address);
    }
}

/* An exception inside. */
static void except(struct thread_control *control, ucontext_t *frame, struct exception exception, int signal, siginfo_t *info)
{
    greg_t *registers = frame->uc_mcontext.gregs;
    bool is_ours = exception.vector == V_PF && exception.address < SPACE;
    enum verdict verdict = is_ours ? page_fault(&exception) : REFUSED;
    cpu_aex(control, frame, exception);
    if (verdict == AGAIN) {
        return;
    }
    if (exception.vector == 1 || exception.vector == 3) { /* #DB and #BP are never fixed up */
        deliver(signal, info, frame);
        return;
    }
    if (lies("skip")) {
        return; /* RIP is at the ENCLU, RAX is ERESUME */
    }
    watch(registers, exception);
    exception.address &= ~(PAGE - 1); /* where in the page, CR2 does not say */
    fix_up(registers, lies("exception") ? (struct exception){V_UD, 0, exception.address ^ PAGE} : exception);
}

/* A program that has set the trap flag stops before these: CPUID is illegal inside, RDTSC and RDTSCP are where CR4.TSD is set. */
static bool becomes_fault(greg_t *registers, struct exception *exception)
{
    const uint8_t *code = (const uint8_t *)registers[REG_RIP];
    bool is_cpuid = code[0] == 0x0F && code[1] == 0xA2;
    bool is_counter = code[0] == 0x0F && (code[1] == 0x31 || (code[1] == 0x01 && code[2] == 0xF9));
    if (registers[REG_TRAPNO] != 1 || !(is_cpuid || is_counter)) {
        return false;
    }
    registers[REG_EFL] &= ~0x100;
    *exception = (struct exception){.vector = is_cpuid ? V_UD : V_GP};
    return true;
}

static struct exception exception_of(int signal, const siginfo_t *info, greg_t *registers)
{
    if (signal == SIGSYS && info->si_code == 2 /* SYS_USER_DISPATCH */) {
        registers[REG_RIP] -= 2;
        return (struct exception){.vector = V_UD};
    }
    struct exception fault;
    if (signal == SIGTRAP && becomes_fault(registers, &fault)) {
        return fault;
    }
    int vector = (int)registers[REG_TRAPNO];
    return (struct exception){vector, (uint32_t)registers[REG_ERR], vector == V_PF ? (uint64_t)registers[REG_CR2] : 0};
}

static void go_on_after_lie(struct thread_control *control, greg_t *registers)
{
    control->is_again = false;
    registers[REG_RAX] = 3;
    registers[REG_RBX] = (greg_t)control->address;
    registers[REG_RCX] = registers[REG_RIP] = (greg_t)vdso_enclu;
}

static uint64_t *interrupted_at(struct thread_control *control)
{
    if (control->cssa >= sizeof(control->interrupted) / sizeof(*control->interrupted)) {
        refuse("more SSA frames than this fake keeps account of");
    }
    return &control->interrupted[control->cssa];
}

/* No instruction is interrupted twice before it is done: what handles an interrupt has instructions of its own that count, and with the wrong number between
 * interrupts nothing else would ever be done. */
static bool was_interrupted(struct thread_control *control, const greg_t *registers)
{
    bool is_same = *interrupted_at(control) == (uint64_t)registers[REG_RIP];
    *interrupted_at(control) = 0;
    return is_same;
}

static void inside(struct thread_control *control, ucontext_t *frame, int signal, siginfo_t *info)
{
    greg_t *registers = frame->uc_mcontext.gregs;
    uint64_t enclave_fs = read_fs();
    write_fs(control->host_fs);
    bool is_leaf = (signal == SIGILL || signal == SIGSEGV) && registers[REG_TRAPNO] != V_PF && is_enclu((uint64_t)registers[REG_RIP]);
    struct exception exception = is_leaf ? NO_EXCEPTION : exception_of(signal, info, registers);
    static uint64_t spurious, interrupts;
    bool passes = was_interrupted(control, registers);
    bool is_interrupted = !passes && every("FAKE_INTERRUPT", &interrupts);
    if (is_interrupted || (!passes && every("FAKE_SPURIOUS", &spurious))) {
        exception = NO_EXCEPTION; /* it comes first: the instruction is done again */
        *interrupted_at(control) = (uint64_t)registers[REG_RIP];
        is_leaf = false;
    } else if (is_leaf) {
        exception = cpu_inside(control, frame);
        if (exception.vector < 0) {
            if (__atomic_load_n(&control->busy, __ATOMIC_ACQUIRE) && control_inside() == control) {
                write_fs(enclave_fs);
            } else if (control->is_again) {
                go_on_after_lie(control, registers);
            }
            return;
        }
    }
    control->fs = enclave_fs;
    if (exception.vector < 0) {
        cpu_aex(control, frame, exception);
        if (is_interrupted) {
            deliver(SIGRTMAX - 2, info, frame);
        }
    } else {
        except(control, frame, exception, signal, info);
    }
}

/* ERESUME; a hostile host enters once more before, if there is a frame for that. */
static struct exception resume(ucontext_t *frame)
{
    if (!cpu_has_frame((uint64_t)frame->uc_mcontext.gregs[REG_RBX]) || !lies("again")) {
        return cpu_eresume(frame);
    }
    struct exception exception = cpu_eenter(frame);
    struct thread_control *control = control_inside();
    if (exception.vector < 0 && control) {
        control->is_again = true;
        frame->uc_mcontext.gregs[REG_RDI] = 2; /* whatever */
    }
    return exception;
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    ucontext_t *frame = context;
    greg_t *registers = frame->uc_mcontext.gregs;
    struct thread_control *control = control_inside();
    if (control) {
        inside(control, frame, signal, info);
        return;
    }
    if ((signal == SIGILL || signal == SIGSEGV) && (uint64_t)registers[REG_RIP] == vdso_enclu) {
        greg_t leaf = registers[REG_RAX];
        struct exception exception = leaf == 2 ? cpu_eenter(frame) : leaf == 3 ? resume(frame) : GENERAL_PROTECTION;
        if (exception.vector >= 0) {
            fix_up(registers, exception);
        }
        return;
    }
    deliver(signal, info, context);
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
    struct thread_control *control = control_inside();
    if (control) {
        uint64_t enclave_fs = read_fs();
        write_fs(control->host_fs);
        control->fs = enclave_fs;
        cpu_aex(control, context, NO_EXCEPTION);
    }
    if (!is_kick(info)) {
        deliver(signal, info, context);
    }
}

static bool is_fault(int signal)
{
    for (size_t index = 0; index < sizeof(FAULTS) / sizeof(*FAULTS); index++) {
        if (FAULTS[index] == signal) {
            return true;
        }
    }
    return false;
}

static void install(int signal)
{
    struct sigaction action = {.sa_sigaction = is_fault(signal) ? on_fault : on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigfillset(&action.sa_mask);
    if (sigaction(signal, &action, NULL) != 0) {
        refuse("sigaction: %d", errno);
    }
}

int fake_sigaction(int signal, const struct sigaction *action, struct sigaction *before)
{
    if (before) {
        *before = registered[signal];
    }
    if (action) {
        registered[signal] = *action;
        if (action->sa_flags & SA_SIGINFO) {
            install(signal);
        }
    }
    return 0;
}

void kernel_start(void)
{
    for (size_t index = 0; index < sizeof(FAULTS) / sizeof(*FAULTS); index++) {
        install(FAULTS[index]);
    }
}
