/* mknod(2) of devices, random(4), and the terminal settings of System V. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define RNDGETENTCNT 0x80045200UL
#define RNDCLEARPOOL 0x5206UL
#define TCGETA_REQUEST 0x5405UL
#define TCSETA_REQUEST 0x5406UL
#define FCHMODAT2 452
#define USTAT 136
#define CAP_MKNOD 27
#define NOBODY 65534

static char folder[] = "/tmp/devices-XXXXXX";

struct system_v_settings {
    unsigned short input, output, control, local;
    unsigned char discipline, characters[8];
};

static void make_devices(void)
{
    struct stat stat;
    struct statvfs mount;
    char byte = 'x';
    CHECK(mknod("null", S_IFCHR | 0666, makedev(1, 3)) == 0 && mknod("null", S_IFCHR | 0666, makedev(1, 3)) == -1 && errno == EEXIST);
    CHECK(lstat("null", &stat) == 0 && S_ISCHR(stat.st_mode) && stat.st_rdev == makedev(1, 3) && stat.st_size == 0);
    CHECK(mknod("disk", S_IFBLK | 0600, makedev(259, 7)) == 0);
    CHECK(lstat("disk", &stat) == 0 && S_ISBLK(stat.st_mode) && stat.st_rdev == makedev(259, 7));
    CHECK(statvfs(".", &mount) == 0);
    if ((mount.f_flag & ST_NODEV) == 0) {
        int file = open("null", O_RDWR);
        CHECK(file >= 0 && write(file, "text", 4) == 4 && read(file, &byte, 1) == 0 && close(file) == 0);
    }
    CHECK(unlink("null") == 0 && unlink("disk") == 0);
}

static void ask_random(void)
{
    int bits = 0, told = 0, file = open("/dev/random", O_RDONLY);
    FILE *text = fopen("/proc/sys/kernel/random/entropy_avail", "r");
    CHECK(file >= 0 && ioctl(file, RNDGETENTCNT, &bits) == 0);
    CHECK(text != NULL && fscanf(text, "%d", &told) == 1 && told == bits && fclose(text) == 0);
    FAILS(ioctl(file, RNDGETENTCNT, NULL), EFAULT);
    close(file);
}

static void set_terminal(void)
{
    struct system_v_settings old, wanted;
    struct termios before, after;
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    CHECK(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    CHECK(slave >= 0 && tcgetattr(slave, &before) == 0 && ioctl(slave, TCGETA_REQUEST, &old) == 0);
    CHECK(old.input == (unsigned short)before.c_iflag && old.local == (unsigned short)before.c_lflag);
    CHECK(memcmp(old.characters, before.c_cc, sizeof(old.characters)) == 0);
    wanted = old;
    wanted.local &= (unsigned short)~ECHO;
    wanted.characters[VERASE] = 8;
    CHECK(ioctl(slave, TCSETA_REQUEST, &wanted) == 0 && tcgetattr(slave, &after) == 0);
    CHECK(after.c_lflag == (before.c_lflag & ~(tcflag_t)ECHO) && after.c_cc[VERASE] == 8 && after.c_cc[VSUSP] == before.c_cc[VSUSP]);
    FAILS(ioctl(slave, TCGETA_REQUEST, (void *)-1L), EFAULT);
    FAILS(ioctl(slave, TCSETA_REQUEST, (void *)-1L), EFAULT);
    close(slave);
    close(master);
}

static void change_modes(void)
{
    struct stat stat;
    int file = open("file", O_CREAT | O_RDWR, 0600);
    CHECK(file >= 0 && symlink("file", "link") == 0);
    if (syscall(FCHMODAT2, AT_FDCWD, "file", 0640, 0) == -1 && errno == ENOSYS) {
        return; /* an older kernel */
    }
    CHECK(syscall(FCHMODAT2, AT_FDCWD, "link", 0644, 0) == 0 && lstat("file", &stat) == 0 && (stat.st_mode & 07777) == 0644);
    FAILS(syscall(FCHMODAT2, AT_FDCWD, "link", 0600, AT_SYMLINK_NOFOLLOW), EOPNOTSUPP);
    CHECK(syscall(FCHMODAT2, file, "", 0604, AT_EMPTY_PATH) == 0 && lstat("file", &stat) == 0 && (stat.st_mode & 07777) == 0604);
    FAILS(syscall(FCHMODAT2, file, "", 0600, 0), ENOENT);
    FAILS(syscall(FCHMODAT2, AT_FDCWD, "file", 0600, AT_REMOVEDIR), EINVAL);
    close(file);
}

static void ask_file_system(void)
{
    char answer[32];
    struct stat stat;
    CHECK(lstat("/proc", &stat) == 0 && syscall(USTAT, (unsigned)stat.st_dev, answer) == 0);
    FAILS(syscall(USTAT, (unsigned)stat.st_dev, -1L), EFAULT);
    FAILS(syscall(USTAT, 0, answer), EINVAL);
}

static void as_nobody(void)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        CHECK(setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0);
        int file = open("/dev/urandom", O_RDONLY);
        FAILS(mknod("null", S_IFCHR | 0666, makedev(1, 3)), EPERM);
        FAILS(mknod("disk", S_IFBLK | 0666, makedev(1, 3)), EPERM);
        FAILS(mknod("/", S_IFBLK | 0666, makedev(1, 3)), EEXIST);
        FAILS(ioctl(file, RNDCLEARPOOL), EPERM);
        FAILS(syscall(SYS_vhangup), EPERM);
        _exit(0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

int main(void)
{
    CHECK(mkdtemp(folder) != NULL && chmod(folder, 0777) == 0 && chdir(folder) == 0);
    if (geteuid() == 0) {
        as_nobody();
    }
    if (geteuid() == 0 && prctl(PR_CAPBSET_READ, CAP_MKNOD, 0, 0, 0) == 1) {
        make_devices();
    }
    ask_random();
    set_terminal();
    change_modes();
    ask_file_system();
    unlink("link");
    unlink("file");
    CHECK(rmdir(folder) == 0);
    puts("devices ok");
}
