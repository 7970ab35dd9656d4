/* Signals against what Linux promises. */
#define _GNU_SOURCE
#include "check.h"

#include <immintrin.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static volatile sig_atomic_t seen, depth, deepest, code;
static void *volatile address;
static void *volatile stack_in_handler;

static void install(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    CHECK(sigaction(signal, &action, NULL) == 0);
}

static void count(int signal, siginfo_t *info, void *context)
{
    (void)context;
    char local;
    stack_in_handler = &local;
    CHECK(info->si_signo == signal);
    code = info->si_code;
    address = info->si_addr;
    seen++;
}

static void test_raise_and_mask(void)
{
    seen = 0;
    install(SIGUSR1, count, 0);
    CHECK(raise(SIGUSR1) == 0 && seen == 1 && code == SI_TKILL);
    CHECK(kill(getpid(), SIGUSR1) == 0 && seen == 2 && code == SI_USER);
    sigset_t set, old, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0);
    raise(SIGUSR1);
    CHECK(seen == 2 && sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1));
    CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0 && seen == 3);
    CHECK(sigaction(SIGKILL, &(struct sigaction){.sa_handler = SIG_IGN}, NULL) == -1 && errno == EINVAL);
    install(SIGUSR1, count, SA_RESETHAND);
    raise(SIGUSR1);
    struct sigaction now;
    CHECK(seen == 4 && sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
    raise(SIGURG);
    raise(SIGCHLD);
}

static void nest(int signal, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    depth++;
    deepest = depth > deepest ? depth : deepest;
    if (depth < 3) {
        raise(signal);
    }
    depth--;
}

static void test_nesting(void)
{
    install(SIGUSR2, nest, SA_NODEFER);
    raise(SIGUSR2);
    CHECK(deepest == 3);
}

static void test_alternative_stack(void)
{
    size_t size = 65536;
    char *memory = malloc(size);
    CHECK(sigaltstack(&(stack_t){.ss_sp = memory, .ss_size = size}, NULL) == 0);
    install(SIGUSR1, count, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK((char *)stack_in_handler > memory && (char *)stack_in_handler < memory + size);
    CHECK(sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL) == 0);
    raise(SIGUSR1);
    CHECK((char *)stack_in_handler < memory || (char *)stack_in_handler > memory + size);
    free(memory);
}

static sigjmp_buf back;

static void jump(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    address = info->si_addr;
    code = info->si_code;
    siglongjmp(back, 1);
}

static void skip_two(int signal, siginfo_t *info, void *context)
{
    (void)info;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += signal == SIGILL ? 2 : 0;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RBX] = 0x1234;
    seen++;
}

static void test_exceptions(void)
{
    install(SIGSEGV, jump, 0);
    install(SIGFPE, jump, 0);
    if (!sigsetjmp(back, 1)) {
        *(volatile int *)0x12340 = 1;
        CHECK(0);
    }
    CHECK(address == (void *)0x12340 && code == SEGV_MAPERR);
    volatile int ten = 10, zero = 0;
    if (!sigsetjmp(back, 1)) {
        volatile int result = ten / zero;
        (void)result;
        CHECK(0);
    }
    CHECK(code == FPE_INTDIV);
    install(SIGILL, skip_two, 0);
    seen = 0;
    uint64_t changed = 0;
    __asm__ volatile("xor %%ebx, %%ebx; ud2; mov %%rbx, %0" : "=r"(changed) : : "rbx");
    CHECK(seen == 1 && changed == 0x1234);
    install(SIGTRAP, skip_two, 0);
    __asm__ volatile("int3" : : : "rbx");
    CHECK(seen == 2);
}

static void spoil_vectors(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    __asm__ volatile("pcmpeqd %%xmm0, %%xmm0; movdqa %%xmm0, %%xmm7; movdqa %%xmm0, %%xmm15"
                     :
                     :
                     : "xmm0", "xmm7", "xmm15");
    seen++;
}

static void test_vector_state(void)
{
    install(SIGUSR1, spoil_vectors, 0);
    uint64_t in[2] = {0x0123456789ABCDEF, 0xFEDCBA9876543210}, out[2] = {0, 0};
    long result;
    seen = 0;
    __asm__ volatile("movdqu (%2), %%xmm0; movdqu (%2), %%xmm7; movdqu (%2), %%xmm15; syscall;"
                     "pand %%xmm7, %%xmm0; pand %%xmm15, %%xmm0; movdqu %%xmm0, (%3)"
                     : "=a"(result)
                     : "0"(SYS_tkill), "r"(in), "r"(out), "D"((long)syscall(SYS_gettid)), "S"((long)SIGUSR1)
                     : "rcx", "r11", "xmm0", "xmm7", "xmm15", "memory");
    CHECK(result == 0 && seen == 1 && memcmp(in, out, sizeof in) == 0);
}

static int pipe_ends[2];
static pthread_t main_thread;

static void *send_later(void *argument)
{
    usleep(20000);
    pthread_kill(main_thread, SIGUSR1);
    usleep(20000);
    if (argument) {
        CHECK(write(pipe_ends[1], "x", 1) == 1);
    }
    return NULL;
}

static void test_interrupted_calls(void)
{
    char byte;
    pthread_t sender;
    main_thread = pthread_self();
    CHECK(pipe(pipe_ends) == 0);
    seen = 0;
    install(SIGUSR1, count, SA_RESTART);
    CHECK(pthread_create(&sender, NULL, send_later, "write") == 0);
    CHECK(read(pipe_ends[0], &byte, 1) == 1 && byte == 'x' && seen == 1);
    pthread_join(sender, NULL);
    install(SIGUSR1, count, 0);
    CHECK(pthread_create(&sender, NULL, send_later, NULL) == 0);
    CHECK(read(pipe_ends[0], &byte, 1) == -1 && errno == EINTR && seen == 2);
    pthread_join(sender, NULL);
    CHECK(pthread_create(&sender, NULL, send_later, NULL) == 0);
    struct timespec left = {0, 0};
    CHECK(nanosleep(&(struct timespec){10, 0}, &left) == -1 && errno == EINTR && left.tv_sec == 9);
    pthread_join(sender, NULL);
}

static void test_waiting(void)
{
    sigset_t set, old;
    pthread_t sender;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0);
    seen = 0;
    CHECK(pthread_create(&sender, NULL, send_later, NULL) == 0);
    CHECK(sigsuspend(&old) == -1 && errno == EINTR && seen == 1);
    pthread_join(sender, NULL);
    siginfo_t info;
    CHECK(sigtimedwait(&set, &info, &(struct timespec){0, 1000000}) == -1 && errno == EAGAIN);
    CHECK(pthread_create(&sender, NULL, send_later, NULL) == 0);
    CHECK(sigtimedwait(&set, &info, &(struct timespec){10, 0}) == SIGUSR1 && info.si_signo == SIGUSR1 &&
          seen == 1);
    pthread_join(sender, NULL);
    CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0 && seen == 1);
}

static void test_timers(void)
{
    struct itimerval timer = {.it_value = {.tv_usec = 20000}, .it_interval = {.tv_usec = 10000}}, old;
    seen = 0;
    install(SIGALRM, count, 0);
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    while (seen < 3) {
        pause();
    }
    timer = (struct itimerval){{0, 0}, {0, 0}};
    CHECK(setitimer(ITIMER_REAL, &timer, &old) == 0 && old.it_interval.tv_usec == 10000);
    CHECK(getitimer(ITIMER_REAL, &old) == 0 && old.it_value.tv_sec == 0 && old.it_value.tv_usec == 0);
    CHECK(alarm(100) == 0 && alarm(0) == 100);
}

static volatile int spinning, stop;

static void *spin(void *argument)
{
    spinning = 1;
    uint64_t value = 1, rounds = 0;
    while (!stop) { /* no system call in here: only an asynchronous interruption reaches it */
        value = value * 6364136223846793005ULL + 1442695040888963407ULL;
        rounds++;
    }
    *(uint64_t *)argument = rounds;
    return (void *)(value & 1);
}

static void stop_spinning(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    seen++;
    stop = seen >= 100;
}

static void test_running_thread(void)
{
    pthread_t spinner;
    uint64_t rounds = 0;
    seen = 0;
    install(SIGUSR1, stop_spinning, SA_RESTART);
    CHECK(pthread_create(&spinner, NULL, spin, &rounds) == 0);
    while (!spinning) {
        usleep(1000);
    }
    while (!stop) {
        int before = seen;
        CHECK(pthread_kill(spinner, SIGUSR1) == 0);
        for (int i = 0; i < 2000 && seen == before; i++) {
            usleep(500);
        }
        CHECK(seen > before);
    }
    pthread_join(spinner, NULL);
    CHECK(rounds > 0);
}

int main(void)
{
    test_raise_and_mask();
    test_nesting();
    test_alternative_stack();
    test_exceptions();
    test_vector_state();
    test_interrupted_calls();
    test_waiting();
    test_timers();
    test_running_thread();
    puts("signals ok");
    return 0;
}
