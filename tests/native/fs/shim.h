/* The host and the core, as the file system's tests see them. */
#ifndef SHIM_H
#define SHIM_H

#include "syscall/syscall.h"

/* The C library, by hand: its headers and base.h do not go together. */
int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
int snprintf(char *to, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
int fflush(void *stream);
int atoi(const char *text);
unsigned long long strtoull(const char *text, char **end, int base);
_Noreturn void exit(int status);
void *calloc(size_t count, size_t size);
void free(void *object);
char *strchr(const char *text, int byte);

/* Which of the host's files a fault hits. */
enum fault_target { FAULT_NONE, FAULT_IMAGE, FAULT_VERITY, FAULT_DATA };

struct fault {
    enum fault_target target;
    const char *path; /* FAULT_DATA */
    uint64_t offset;
    uint8_t mask;
    uint32_t every; /* 0: always; else only every n-th read of the file */
};
extern struct fault fault;

extern const char *image_path, *verity_path, *data_root, *volume_root;
extern uint32_t log_lines; /* how many lines were logged at LOG_ERROR */
extern char last_line[512];
extern uint64_t host_data_reads;

/* A handler, called as the system call would. */
#define CALL_LIBOS(name, ...) sys_##name(&(struct arguments){{__VA_ARGS__}})
#define USER(pointer) ((uint64_t)(uintptr_t)(pointer))

void shim_start(const char *image, const char *verity, const char *data, const char *volumes);

/* Another thread that runs as a task of its own. */
struct shim_thread;
struct shim_thread *shim_thread_start(void (*run)(void *context), void *context);
void shim_thread_join(struct shim_thread *thread);
void shim_sleep_ms(uint32_t milliseconds);

extern bool signal_waits; /* what signal_is_pending() says */
extern int signal_sent;   /* by signal_send_current() */

#endif
