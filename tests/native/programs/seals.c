/* memfd_create(2), and the seals of fcntl(2). */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MFD_NOEXEC_SEAL_ 8U
#define MFD_EXEC_ 16U
#define F_SEAL_EXEC_ 0x20

static char data[16384];

static int sealed(int seals)
{
    int fd = memfd_create("sealed", MFD_ALLOW_SEALING);
    CHECK(fd >= 0 && write(fd, data, 6000) == 6000);
    CHECK(fcntl(fd, F_ADD_SEALS, seals) == 0 && fcntl(fd, F_GET_SEALS) == seals);
    return fd;
}

static void creating(void)
{
    char name[251], link[64], path[300];
    struct stat status;
    memset(name, 'n', 250);
    name[250] = '\0';
    CHECK(memfd_create("x", 0x40) == -1 && errno == EINVAL);
    CHECK(memfd_create(name, 0) == -1 && errno == EINVAL);
    name[249] = '\0';
    int fd = memfd_create(name, 0);
    CHECK(fd >= 0 && close(fd) == 0);
    fd = memfd_create("plain", MFD_CLOEXEC);
    CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC && fcntl(fd, F_GET_SEALS) == F_SEAL_SEAL);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == -1 && errno == EPERM);
    CHECK(fstat(fd, &status) == 0 && (status.st_mode & 07777) == 0777 && status.st_nlink == 0);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    CHECK(length > 0);
    path[length] = '\0';
    CHECK(strcmp(path, "/memfd:plain (deleted)") == 0);
    CHECK(close(fd) == 0);
    CHECK(memfd_create("x", MFD_EXEC_ | MFD_NOEXEC_SEAL_) == -1 && errno == EINVAL);
    fd = memfd_create("data", MFD_NOEXEC_SEAL_);
    CHECK(fstat(fd, &status) == 0 && (status.st_mode & 07777) == 0666 && fcntl(fd, F_GET_SEALS) == F_SEAL_EXEC_);
    CHECK(fchmod(fd, 0777) == -1 && errno == EPERM && fchmod(fd, 0600) == 0);
    CHECK(close(fd) == 0);
    int pipe_ends[2];
    CHECK(pipe(pipe_ends) == 0 && fcntl(pipe_ends[1], F_ADD_SEALS, F_SEAL_WRITE) == -1 && errno == EINVAL);
    CHECK(fcntl(pipe_ends[0], F_GET_SEALS) == -1 && errno == EINVAL);
}

static void sizes(void)
{
    int fd = sealed(F_SEAL_SHRINK);
    CHECK(ftruncate(fd, 5999) == -1 && errno == EPERM && ftruncate(fd, 6000) == 0 && ftruncate(fd, 7000) == 0);
    CHECK(close(fd) == 0);
    fd = sealed(F_SEAL_GROW);
    CHECK(ftruncate(fd, 6001) == -1 && errno == EPERM && ftruncate(fd, 6000) == 0);
    CHECK(pwrite(fd, data, 10, 5990) == 10);
    CHECK(pwrite(fd, data, 11, 5990) == -1 && errno == EPERM);
    CHECK(pwrite(fd, data, 7000, 100) == 4096 - 100);
    CHECK(fallocate(fd, 0, 0, 6001) == -1 && errno == EPERM && fallocate(fd, 0, 0, 6000) == 0);
    CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0);
    CHECK(ftruncate(fd, 10) == 0 && close(fd) == 0);
}

static void writing(void)
{
    char path[64], read_back[16];
    int fd = sealed(F_SEAL_WRITE);
    CHECK(pwrite(fd, data, 1, 0) == -1 && errno == EPERM && pwrite(fd, data, 0, 0) == 0);
    CHECK(pread(fd, read_back, 16, 0) == 16);
    CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == -1 && errno == EPERM);
    CHECK(ftruncate(fd, 6001) == 0);
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EPERM);
    char *own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(own != MAP_FAILED && (own[0] = 'x') == 'x' && munmap(own, 4096) == 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int reader = open(path, O_RDONLY);
    char *shared = mmap(NULL, 4096, PROT_READ, MAP_SHARED, reader, 0);
    CHECK(shared != MAP_FAILED && mprotect(shared, 4096, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
    CHECK(fcntl(reader, F_ADD_SEALS, F_SEAL_SEAL) == -1 && errno == EPERM);
    CHECK(fcntl(fd, F_ADD_SEALS, 0x100) == -1 && errno == EINVAL);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0 && fcntl(fd, F_GET_SEALS) == (F_SEAL_WRITE | F_SEAL_SHRINK));
    CHECK(open(path, O_RDWR | O_TRUNC) == -1 && errno == EPERM);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL) == 0);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW) == -1 && errno == EPERM && close(fd) == 0);
}

static void mappings(void)
{
    int fd = memfd_create("mapped", MFD_ALLOW_SEALING);
    CHECK(ftruncate(fd, 8192) == 0);
    char *shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(shared != MAP_FAILED);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == -1 && errno == EBUSY && fcntl(fd, F_GET_SEALS) == 0);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0);
    shared[0] = 'y'; /* what is mapped already may be written */
    CHECK(write(fd, "x", 1) == -1 && errno == EPERM);
    CHECK(mmap(NULL, 4096, PROT_WRITE | PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EPERM);
    CHECK(munmap(shared, 4096) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == -1 && errno == EBUSY);
    CHECK(munmap(shared + 4096, 4096) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0 && close(fd) == 0);
}

int main(void)
{
    creating();
    sizes();
    writing();
    mappings();
    puts("seals ok");
}
