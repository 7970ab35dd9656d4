/* One handler per OCALL (abi.h). Arguments were copied out of the exchange area; the result goes there. */
#ifndef ENCLAVIZE_PAL_OCALL_H
#define ENCLAVIZE_PAL_OCALL_H

#include <stdint.h>

#include "host_thread.h"

struct request {
    struct host_thread *thread;
    uint64_t arguments[6];
    uint8_t *data;
};

typedef int64_t (*ocall_handler)(struct request *call);

/* ocall_memory.c: what the SGX driver does */
int64_t ocall_memory_add(struct request *call);
int64_t ocall_memory_protect(struct request *call);
int64_t ocall_memory_trim(struct request *call);
int64_t ocall_memory_remove(struct request *call);

/* ocall_wait.c: sleeping, waking, blocking system calls */
int64_t ocall_wait(struct request *call);
int64_t ocall_wake(struct request *call);
int64_t ocall_interrupt(struct request *call);
int64_t ocall_poll(struct request *call);
/* Ends with -EINTR when the thread is interrupted, also when that was just before. */
int64_t blocking_syscall(struct host_thread *thread, long number, long a, long b, long c, long d);

/* ocall_files.c */
int64_t ocall_read(struct request *call);
int64_t ocall_write(struct request *call);
int64_t ocall_pread(struct request *call);
int64_t ocall_pwrite(struct request *call);
int64_t ocall_close(struct request *call);
int64_t ocall_stat(struct request *call);
int64_t ocall_ioctl(struct request *call);
int64_t ocall_sync(struct request *call);
int64_t ocall_truncate(struct request *call);
int64_t ocall_image_read(struct request *call);
int64_t ocall_data_open(struct request *call);
int64_t ocall_data_read(struct request *call);
int64_t ocall_data_close(struct request *call);
int64_t ocall_host_file(struct request *call);

/* ocall_volumes.c */
int64_t ocall_volume_open(struct request *call);
int64_t ocall_volume_stat(struct request *call);
int64_t ocall_volume_readlink(struct request *call);
int64_t ocall_volume_list(struct request *call);
int64_t ocall_volume_mkdir(struct request *call);
int64_t ocall_volume_unlink(struct request *call);
int64_t ocall_volume_rename(struct request *call);
int64_t ocall_volume_symlink(struct request *call);
int64_t ocall_volume_chmod(struct request *call);
int64_t ocall_volume_utime(struct request *call);

#endif
