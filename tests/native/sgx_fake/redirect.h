/* Included before each source of the PAL (-include): what it asks of the kernel and of CPUID goes to the fake. */
#ifndef SGX_FAKE_REDIRECT_H
#define SGX_FAKE_REDIRECT_H
#ifndef __ASSEMBLER__

#define _GNU_SOURCE
#include <cpuid.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

int fake_access(const char *path, int mode);
int fake_open(const char *path, int flags, ...);
int fake_ioctl(int descriptor, unsigned long request, ...);
void *fake_mmap(void *address, size_t length, int protection, int flags, int descriptor, off_t offset);
ssize_t fake_pwritev(int descriptor, const struct iovec *parts, int count, off_t offset);
int fake_sigaction(int signal, const struct sigaction *action, struct sigaction *before);
unsigned long fake_getauxval(unsigned long type);
int fake_cpuid(unsigned leaf, unsigned subleaf, unsigned *a, unsigned *b, unsigned *c, unsigned *d);

#define access(...) fake_access(__VA_ARGS__)
#define open(...) fake_open(__VA_ARGS__)
#define ioctl(...) fake_ioctl(__VA_ARGS__)
#define mmap(...) fake_mmap(__VA_ARGS__)
#define pwritev(...) fake_pwritev(__VA_ARGS__)
#define sigaction(...) fake_sigaction(__VA_ARGS__)
#define getauxval(...) fake_getauxval(__VA_ARGS__)
#define __get_cpuid_count(...) fake_cpuid(__VA_ARGS__)

#endif
#endif
