/*
 * /dev/attestation, as Gramine has it, and ENCLU by the program itself. Only an enclave has them: there is no native side.
 *
 *   files                   what can be opened, read and written, and how
 *   target                  prints this enclave's TARGETINFO
 *   report TARGET DATA      prints a report for it
 *   verify REPORT DATA      is it of an enclave on this CPU, for this one, with this data? 3: its MAC says no
 *   keys                    prints the sealing keys
 * Structures are printed and given in hex.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define FOLDER "/dev/attestation/"
#define TARGET_SIZE 512
#define REPORT_SIZE 432
#define DATA_SIZE 64
#define KEY_SIZE 16
#define DATA_OFFSET 320
#define KEY_ID_OFFSET 384
#define MAC_OFFSET 416
#define STATUS_MAC 3
#define FRESH_SIZE (64UL << 20)

void aes_cmac(const uint8_t key[16], const void *message, size_t size, uint8_t mac[16]); /* native/crypto/cmac.zig */

enum { EREPORT, EGETKEY };

static uint64_t enclu(uint64_t leaf, const void *rbx, void *rcx, void *rdx, bool *failed)
{
    __asm__ volatile(".byte 0x0F, 0x01, 0xD7" : "+a"(leaf), "=@ccz"(*failed) : "b"(rbx), "c"(rcx), "d"(rdx) : "memory");
    return leaf;
}

static size_t read_file(const char *name, void *to, size_t size)
{
    char path[128];
    snprintf(path, sizeof(path), FOLDER "%s", name);
    int file = open(path, O_RDONLY);
    CHECK(file >= 0);
    ssize_t length = read(file, to, size);
    CHECK(length >= 0);
    CHECK(close(file) == 0);
    return (size_t)length;
}

static void write_file(const char *name, const void *from, size_t size)
{
    char path[128];
    snprintf(path, sizeof(path), FOLDER "%s", name);
    int file = open(path, O_WRONLY | O_TRUNC);
    CHECK(file >= 0);
    CHECK(write(file, from, size) == (ssize_t)size);
    CHECK(close(file) == 0);
}

static void print(const uint8_t *bytes, size_t size)
{
    for (size_t at = 0; at < size; at++) {
        printf("%02x", bytes[at]);
    }
    printf("\n");
}

static void parse(const char *text, uint8_t *to, size_t size)
{
    CHECK(strlen(text) == 2 * size);
    for (size_t at = 0; at < size; at++) {
        CHECK(sscanf(text + 2 * at, "%2hhx", &to[at]) == 1);
    }
}

static void check_modes(void)
{
    static const struct {
        const char *name;
        mode_t mode;
        size_t size;
    } FILES[] = {
        {"attestation_type", S_IFREG | 0444, 4}, {"my_target_info", S_IFREG | 0444, TARGET_SIZE}, {"report", S_IFREG | 0444, REPORT_SIZE},
        {"user_report_data", S_IFREG | 0666, 0}, {"target_info", S_IFREG | 0666, 0}, {"keys", S_IFDIR | 0555, 0},
        {"keys/_sgx_mrenclave", S_IFREG | 0444, KEY_SIZE}, {"keys/_sgx_mrsigner", S_IFREG | 0444, KEY_SIZE}, {"keys/default", S_IFREG | 0666, 0},
    };
    for (size_t at = 0; at < sizeof(FILES) / sizeof(*FILES); at++) {
        char path[128];
        uint8_t bytes[1024];
        struct stat status;
        snprintf(path, sizeof(path), FOLDER "%s", FILES[at].name);
        CHECK(stat(path, &status) == 0 && status.st_mode == FILES[at].mode);
        if (S_ISDIR(FILES[at].mode)) {
            continue;
        }
        CHECK(read_file(FILES[at].name, bytes, sizeof(bytes)) == FILES[at].size);
        int file = open(path, O_RDWR);
        CHECK((file >= 0) == ((FILES[at].mode & 0222) != 0));
        CHECK(file >= 0 ? close(file) == 0 : errno == EACCES);
    }
    char type[8] = {0};
    read_file("attestation_type", type, sizeof(type));
    CHECK(strcmp(type, "none") == 0);
    FAILS(open(FOLDER "quote", O_RDONLY), ENOENT); /* there are none where the type is "none" */
    FAILS(open(FOLDER "keys/other", O_RDWR), ENOENT);
    CHECK(open(FOLDER "keys/other", O_RDWR | O_CREAT, 0600) < 0);
    CHECK(unlink(FOLDER "report") < 0);
}

/* A write is the whole, wherever the file stood; too short is filled up, too long is cut. */
static void check_writes(void)
{
    uint8_t long_one[600], report[REPORT_SIZE], back[1024];
    static const uint8_t zeros[DATA_SIZE];
    memset(long_one, 'l', sizeof(long_one));
    int file = open(FOLDER "user_report_data", O_RDWR);
    CHECK(file >= 0 && write(file, long_one, 100) == 100);
    CHECK(read_file("report", report, sizeof(report)) == REPORT_SIZE && memcmp(report + DATA_OFFSET, long_one, DATA_SIZE) == 0);
    CHECK(write(file, "short", 5) == 5);
    CHECK(lseek(file, 0, SEEK_SET) == 0 && read(file, back, sizeof(back)) == 5 && memcmp(back, "short", 5) == 0);
    CHECK(read_file("report", report, sizeof(report)) == REPORT_SIZE);
    CHECK(memcmp(report + DATA_OFFSET, "short", 5) == 0 && memcmp(report + DATA_OFFSET + 5, zeros, DATA_SIZE - 5) == 0);
    CHECK(close(file) == 0);
    CHECK(read_file("user_report_data", back, sizeof(back)) == 0); /* as in Gramine: what was written is not read by others */

    int seen = open(FOLDER "report", O_RDONLY); /* made when it is opened, and read in parts */
    write_file("user_report_data", "later", 5);
    CHECK(read(seen, back, 330) == 330 && read(seen, back + 330, sizeof(back)) == REPORT_SIZE - 330 && read(seen, back, 1) == 0);
    CHECK(memcmp(back + DATA_OFFSET, "short", 5) == 0);
    FAILS(write(seen, "x", 1), EBADF);
    CHECK(close(seen) == 0);

    memset(long_one, 0, sizeof(long_one));
    long_one[TARGET_SIZE - 1] = 1; /* a field that is reserved */
    write_file("target_info", long_one, TARGET_SIZE);
    FAILS(open(FOLDER "report", O_RDONLY), EACCES);
    write_file("target_info", long_one, TARGET_SIZE - 1);
    CHECK(read_file("report", report, sizeof(report)) == REPORT_SIZE);
}

static void check_default_key(void)
{
    uint8_t key[KEY_SIZE], back[64];
    memset(key, 0xD5, sizeof(key));
    int file = open(FOLDER "keys/default", O_WRONLY);
    CHECK(file >= 0);
    FAILS(write(file, key, KEY_SIZE - 1), EACCES);
    CHECK(read_file("keys/default", back, sizeof(back)) == 0);
    CHECK(write(file, key, KEY_SIZE) == KEY_SIZE);
    CHECK(read_file("keys/default", back, sizeof(back)) == KEY_SIZE && memcmp(back, key, KEY_SIZE) == 0);
    CHECK(close(file) == 0);
}

/* What a process has written is its own. The key is for all. */
static void check_processes(void)
{
    uint8_t report[REPORT_SIZE], back[64];
    int status;
    write_file("user_report_data", "parent", 6);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(read_file("report", report, sizeof(report)) == REPORT_SIZE && report[DATA_OFFSET] == 0);
        write_file("user_report_data", "child", 5);
        CHECK(read_file("report", report, sizeof(report)) == REPORT_SIZE && memcmp(report + DATA_OFFSET, "child", 6) == 0);
        CHECK(read_file("keys/default", back, sizeof(back)) == KEY_SIZE);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(read_file("report", report, sizeof(report)) == REPORT_SIZE && memcmp(report + DATA_OFFSET, "parent", 7) == 0);
}

static struct operands {
    uint8_t request[512], report[512], data[128], key[64];
} operands __attribute__((aligned(512)));

static void request_key(uint16_t name, uint16_t policy)
{
    memset(operands.request, 0, sizeof(operands.request));
    memcpy(operands.request, &name, 2);
    memcpy(operands.request + 2, &policy, 2);
}

static int expected_signal;

static void end_well(int signal)
{
    _exit(signal == expected_signal ? 0 : 1);
}

/* The program's own ENCLU does what the CPU does for anybody in the enclave, and faults as it does. */
static void check_own_enclu(void)
{
    bool failed;
    uint8_t target[TARGET_SIZE];
    CHECK(read_file("my_target_info", target, sizeof(target)) == TARGET_SIZE);
    memcpy(operands.data, "by itself", 9);
    enclu(EREPORT, memcpy(operands.request, target, TARGET_SIZE), operands.data, operands.report, &failed);
    CHECK(memcmp(operands.report + DATA_OFFSET, "by itself", 9) == 0 && memcmp(operands.report + 64, target, 32) == 0);
    request_key(7, 0);
    CHECK(enclu(EGETKEY, operands.request, operands.key, NULL, &failed) == 256 && failed); /* INVALID_KEYNAME */
    request_key(1, 0);
    CHECK(enclu(EGETKEY, operands.request, operands.key, NULL, &failed) == 2 && failed); /* INVALID_ATTRIBUTE: the provisioning key */
    request_key(4, 1);
    memset(operands.request + 8, 0xFF, 16);
    CHECK(enclu(EGETKEY, operands.request, operands.key, NULL, &failed) == 32 && failed); /* INVALID_CPUSVN */
    request_key(4, 1);
    memset(operands.request + 4, 0xFF, 2);
    CHECK(enclu(EGETKEY, operands.request, operands.key, NULL, &failed) == 64 && failed); /* INVALID_ISVSVN */
    request_key(4, 1);
    CHECK(enclu(EGETKEY, operands.request, operands.key, NULL, &failed) == 0 && !failed);
    CHECK(operands.key[0] != 0 || operands.key[15] != 0);

    uint8_t *fresh = mmap(NULL, FRESH_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(fresh != MAP_FAILED); /* the leaf faults on a page that is not there yet, and is done again */
    CHECK(enclu(EGETKEY, operands.request, fresh + FRESH_SIZE / 2, NULL, &failed) == 0 && !failed);
    CHECK(memcmp(fresh + FRESH_SIZE / 2, operands.key, KEY_SIZE) == 0);
    CHECK(munmap(fresh, FRESH_SIZE) == 0);

    int status;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) { /* a key to where it may not be */
        expected_signal = SIGSEGV;
        signal(SIGSEGV, end_well);
        enclu(EGETKEY, operands.request, operands.key + 8, NULL, &failed);
        _exit(2);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static int verify(const char *report_text, const char *data_text)
{
    uint8_t data[DATA_SIZE], mac[16];
    bool failed;
    parse(report_text, operands.report, REPORT_SIZE);
    parse(data_text, data, DATA_SIZE);
    request_key(3, 0);
    memcpy(operands.request + 40, operands.report + KEY_ID_OFFSET, 32);
    CHECK(enclu(EGETKEY, operands.request, operands.key, NULL, &failed) == 0 && !failed);
    aes_cmac(operands.key, operands.report, KEY_ID_OFFSET, mac);
    if (memcmp(mac, operands.report + MAC_OFFSET, sizeof(mac)) != 0) {
        return STATUS_MAC;
    }
    CHECK(memcmp(operands.report + DATA_OFFSET, data, DATA_SIZE) == 0);
    print(operands.report + 64, 32); /* whose it is: MRENCLAVE */
    return 0;
}

int main(int count, char **arguments)
{
    uint8_t bytes[TARGET_SIZE];
    const char *what = count > 1 ? arguments[1] : "";
    if (strcmp(what, "files") == 0) {
        check_modes();
        check_writes();
        check_default_key();
        check_processes();
        check_own_enclu();
    } else if (strcmp(what, "target") == 0) {
        print(bytes, read_file("my_target_info", bytes, sizeof(bytes)));
    } else if (strcmp(what, "report") == 0 && count == 4) {
        parse(arguments[2], bytes, TARGET_SIZE);
        write_file("target_info", bytes, TARGET_SIZE);
        parse(arguments[3], bytes, DATA_SIZE);
        write_file("user_report_data", bytes, DATA_SIZE);
        print(bytes, read_file("report", bytes, sizeof(bytes)));
    } else if (strcmp(what, "verify") == 0 && count == 4) {
        return verify(arguments[2], arguments[3]);
    } else if (strcmp(what, "keys") == 0) {
        print(bytes, read_file("keys/_sgx_mrenclave", bytes, KEY_SIZE));
        print(bytes, read_file("keys/_sgx_mrsigner", bytes, KEY_SIZE));
    } else {
        return 2;
    }
    return 0;
}
