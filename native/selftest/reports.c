/* Reports and keys: by the files of /dev/attestation, and by the CPU's instruction itself. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "selftest.h"

#define TARGET_SIZE 512 /* SDM volume 3D: TARGETINFO, REPORT, KEYREQUEST */
#define REPORT_SIZE 432
#define KEY_ID_OFFSET 384
#define MAC_OFFSET 416
#define REQUEST_KEY_ID_OFFSET 40
#define KEY_NAME_REPORT 3
#define KEY_SIZE 16

void aes_cmac(const uint8_t key[16], const void *message, size_t size, uint8_t mac[16]); /* native/crypto/cmac.zig */

static struct {
    uint8_t request[512], report[512], key[KEY_SIZE];
} operands __attribute__((aligned(512)));

static uint64_t egetkey(void)
{
    uint64_t leaf = 1;
    __asm__ volatile(".byte 0x0F, 0x01, 0xD7" : "+a"(leaf) : "b"(operands.request), "c"(operands.key) : "memory", "cc");
    return leaf;
}

static void transfer(const char *path, int flags, uint8_t *bytes, ssize_t size)
{
    int file = open(path, flags);
    EXPECT(file >= 0, "%s cannot be opened", path);
    EXPECT((flags == O_RDONLY ? read(file, bytes, (size_t)size) : write(file, bytes, (size_t)size)) == size, "%s has another size", path);
    close(file);
}

/* The way of local attestation, where the target is the enclave itself. */
void try_reports(void)
{
    uint8_t target[TARGET_SIZE], data[64] = "enclavize doctor --selftest", mac[16];
    transfer("/dev/attestation/my_target_info", O_RDONLY, target, TARGET_SIZE);
    transfer("/dev/attestation/target_info", O_WRONLY, target, TARGET_SIZE);
    transfer("/dev/attestation/user_report_data", O_WRONLY, data, sizeof(data));
    transfer("/dev/attestation/report", O_RDONLY, operands.report, REPORT_SIZE);
    operands.request[0] = KEY_NAME_REPORT;
    memcpy(operands.request + REQUEST_KEY_ID_OFFSET, operands.report + KEY_ID_OFFSET, 32);
    uint64_t error = egetkey();
    EXPECT(error == 0, "EGETKEY refuses the report key: error %llu", (unsigned long long)error);
    aes_cmac(operands.key, operands.report, KEY_ID_OFFSET, mac);
    EXPECT(memcmp(mac, operands.report + MAC_OFFSET, sizeof(mac)) == 0, "the report's MAC is not that of its key");
    EXPECT(memcmp(operands.report + 64, target, 32) == 0, "the report is of another enclave");
    EXPECT(memcmp(operands.report + 320, data, sizeof(data)) == 0, "the report is about something else");
}

/* Its digest, since it is a key: AES-CMAC with it of nothing. Who compares it at two starts sees whether it is the same. */
void print_seal_key(void)
{
    uint8_t key[KEY_SIZE], digest[16];
    transfer("/dev/attestation/keys/_sgx_mrenclave", O_RDONLY, key, sizeof(key));
    aes_cmac(key, "", 0, digest);
    for (size_t at = 0; at < sizeof(digest); at++) {
        printf("%02x", digest[at]);
    }
    printf("\n");
}
