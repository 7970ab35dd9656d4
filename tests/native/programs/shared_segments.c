/* System V shared memory against what Linux promises (shmget(2), shmop(2), shmctl(2)). */
#define _GNU_SOURCE
#include "check.h"

#include <limits.h>
#include <stdint.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#define PAGE 4096UL
#define FAILED ((void *)-1)

static struct shmid_ds status_of(int id)
{
    struct shmid_ds status;
    CHECK(shmctl(id, IPC_STAT, &status) == 0);
    return status;
}

static void test_get(key_t key)
{
    CHECK(shmget(key, 0, 0600) == -1 && errno == ENOENT);
    CHECK(shmget(key, 0, IPC_CREAT | 0600) == -1 && errno == EINVAL);
    int id = shmget(key, 6000, IPC_CREAT | 0640);
    CHECK(id >= 0 && shmget(key, 0, 0) == id && shmget(key, 6000, 0600) == id);
    CHECK(shmget(key, 6001, 0) == -1 && errno == EINVAL);
    CHECK(shmget(key, 100, IPC_CREAT | IPC_EXCL) == -1 && errno == EEXIST);
    struct shmid_ds status = status_of(id);
    CHECK(status.shm_segsz == 6000 && status.shm_nattch == 0 && (status.shm_perm.mode & 0777) == 0640);
    CHECK(status.shm_atime == 0 && status.shm_ctime != 0 && status.shm_cpid == getpid());
    status.shm_perm.mode = 0600;
    CHECK(shmctl(id, IPC_SET, &status) == 0 && (status_of(id).shm_perm.mode & 0777) == 0600);
    CHECK(shmctl(id, 99, &status) == -1 && errno == EINVAL);
    CHECK(shmctl(id, IPC_STAT, (void *)8) == -1 && errno == EFAULT);
    CHECK(shmctl(id, IPC_RMID, NULL) == 0 && shmctl(id, IPC_STAT, &status) == -1 && errno == EINVAL);
    CHECK(shmget(key, 0, 0) == -1 && errno == ENOENT);
}

/* Two mappings of one segment, and one that is only for reading. */
static void test_attach(void)
{
    int id = shmget(IPC_PRIVATE, 2 * PAGE, IPC_CREAT | 0600);
    char *one = shmat(id, NULL, 0), *other = shmat(id, NULL, SHM_RDONLY);
    CHECK(id >= 0 && one != FAILED && other != FAILED && status_of(id).shm_nattch == 2);
    strcpy(one + PAGE, "seen");
    CHECK(strcmp(other + PAGE, "seen") == 0);
    CHECK(mprotect(other, PAGE, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
    CHECK(shmat(id, one, 0) == FAILED && errno == EINVAL);
    CHECK(shmat(id, one + 100, 0) == FAILED && errno == EINVAL);
    CHECK(shmat(id + 1, NULL, 0) == FAILED && errno == EINVAL);
    CHECK(shmat(id, NULL, SHM_REMAP) == FAILED && errno == EINVAL);
    char *place = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(shmat(id, place + PAGE + 5, SHM_RND | SHM_REMAP) == place + PAGE && strcmp(place + 2 * PAGE, "seen") == 0);
    place[2 * PAGE] = 'S';
    CHECK(strcmp(one + PAGE, "Seen") == 0 && status_of(id).shm_nattch == 3);
    CHECK(shmdt(place) == -1 && errno == EINVAL);
    CHECK(shmdt(place + PAGE) == 0 && shmdt(other) == 0 && shmdt(other) == -1 && errno == EINVAL);
    CHECK(shmdt(one + 1) == -1 && errno == EINVAL);
    /* what was unmapped in part ends as a whole */
    CHECK(munmap(one, PAGE) == 0 && status_of(id).shm_nattch == 1 && shmdt(one) == 0);
    CHECK(status_of(id).shm_nattch == 0 && status_of(id).shm_dtime != 0);
    one = shmat(id, NULL, 0);
    CHECK(one != FAILED && strcmp(one + PAGE, "Seen") == 0);
    CHECK(shmctl(id, IPC_RMID, NULL) == 0 && shmdt(one) == 0 && munmap(place, 4 * PAGE) == 0);
}

/* /proc/sysvipc/shm has it. */
static int is_listed(int id)
{
    char line[512];
    int found = 0, listed;
    FILE *file = fopen("/proc/sysvipc/shm", "r");
    CHECK(file != NULL && fgets(line, sizeof line, file) != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        found += sscanf(line, "%*d %d", &listed) == 1 && listed == id;
    }
    CHECK(fclose(file) == 0);
    return found;
}

/* A segment that is removed stays for those who have it. */
static void test_removal(key_t key)
{
    struct shmid_ds status;
    int id = shmget(key, PAGE, IPC_CREAT | 0600);
    char *at = shmat(id, NULL, 0);
    CHECK(id >= 0 && at != FAILED);
    strcpy(at, "stays");
    CHECK(shmctl(id, IPC_RMID, NULL) == 0 && strcmp(at, "stays") == 0);
    CHECK((status_of(id).shm_perm.mode & SHM_DEST) && shmget(key, 0, 0) == -1 && errno == ENOENT);
    char *again = shmat(id, NULL, 0);
    CHECK(again != FAILED && strcmp(again, "stays") == 0 && shmdt(again) == 0);
    CHECK(is_listed(id) == 1);
    CHECK(shmdt(at) == 0 && shmctl(id, IPC_STAT, &status) == -1 && errno == EINVAL);
    id = shmget(key, PAGE, IPC_CREAT | 0600);
    CHECK(is_listed(id) == 1 && shmctl(id, IPC_RMID, NULL) == 0 && is_listed(id) == 0);
}

/* A window over all that is left of it takes it away before it is found again. */
static void test_window(void)
{
    int id = shmget(IPC_PRIVATE, 3 * PAGE, IPC_CREAT | 0600);
    char *at = shmat(id, NULL, 0), *again = shmat(id, NULL, 0);
    struct shmid_ds status;
    CHECK(at != FAILED && again != FAILED);
    at[PAGE] = 's';
    CHECK(shmctl(id, IPC_RMID, NULL) == 0);
    CHECK(remap_file_pages(at, 3 * PAGE, 0, 0, 0) == 0 && shmdt(again) == 0); /* the other mapping holds it */
    CHECK(remap_file_pages(at, PAGE, 0, 1, 0) == 0 && at[0] == 's');
    CHECK(munmap(at, PAGE) == 0 && shmctl(id, IPC_STAT, &status) == 0);
    CHECK(remap_file_pages(at + PAGE, 2 * PAGE, 0, 0, 0) == -1 && errno == EINVAL);
    CHECK(shmctl(id, IPC_STAT, &status) == -1 && errno == EINVAL);
    CHECK(mincore(at + PAGE, 2 * PAGE, (unsigned char *)&status) == -1 && errno == ENOMEM);
}

static void test_information(void)
{
    struct shminfo limits;
    struct shm_info use;
    int id = shmget(IPC_PRIVATE, 3 * PAGE, 0600);
    CHECK(id >= 0 && shmctl(0, IPC_INFO, (void *)&limits) >= 0 && limits.shmmni == 4096 && limits.shmmin == 1);
    int highest = shmctl(0, SHM_INFO, (void *)&use), found = 0;
    CHECK(highest >= 0 && use.used_ids >= 1 && use.shm_tot >= 3);
    for (int index = 0; index <= highest; index++) {
        struct shmid_ds status;
        found += shmctl(index, SHM_STAT, &status) == id && status.shm_segsz == 3 * PAGE;
    }
    CHECK(found == 1 && shmctl(id, SHM_LOCK, NULL) == 0 && (status_of(id).shm_perm.mode & SHM_LOCKED));
    CHECK(shmctl(id, SHM_UNLOCK, NULL) == 0 && shmctl(id, IPC_RMID, NULL) == 0);
}

int main(void)
{
    key_t key = 0x5E60000 + getpid();
    test_get(key);
    test_attach();
    test_removal(key);
    test_information();
    test_window();
    puts("segments ok");
    return 0;
}
