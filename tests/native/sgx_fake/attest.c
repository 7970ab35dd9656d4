/*
 * The LibOS's part of reports and keys (native/libos/boundary/attestation.c), on the fake's EREPORT and EGETKEY or on those of simulation (attest_sim.c).
 * What it gets is printed in hex, for a test that reads the structures by themselves.
 *
 *     attest REQUEST...
 *
 *     MACHINE report TARGETINFO REPORTDATA    the report, or the error: "-22"
 *     MACHINE target                          TARGETINFO of this enclave
 *     MACHINE key mrenclave|mrsigner          a sealing key
 *     MACHINE raw KEYREQUEST                  EGETKEY's answer for it: the key, or the error
 *
 * MACHINE: fake, sim; or broken, where EGETKEY fails.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"

enum { LEAF_EREPORT, LEAF_EGETKEY };
#define BROKEN_ERROR 32

int enclave_report(const uint8_t target[512], const uint8_t data[64], void *report);
void enclave_target_info(void *target);
int enclave_seal_key(int policy, uint8_t key[16]);
extern const int policy_mrenclave, policy_mrsigner; /* as the LibOS has them (attest_libos.c) */
uint64_t enclu(uint64_t leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx);
uint64_t attest_sim(uint64_t leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx);

uint8_t *store; /* operands are where they say */
struct secs_fields secs = {.misc = 1, .flags = 5, .xfrm = 0xE7};
uint8_t measurement[32], signer[32];
uint16_t product[2] = {3, 2};
static const char *machine_name;

void take(void)
{
}

void give(void)
{
}

bool all_zero(const uint8_t *bytes, size_t size)
{
    for (size_t index = 0; index < size; index++) {
        if (bytes[index]) {
            return false;
        }
    }
    return true;
}

struct exception cpu_operand(uint64_t address, uint64_t alignment, uint16_t rights)
{
    (void)rights;
    return address % alignment ? GENERAL_PROTECTION : NO_EXCEPTION;
}

uint64_t enclu(uint64_t leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx)
{
    greg_t registers[NGREG] = {[REG_RAX] = (greg_t)leaf, [REG_RBX] = (greg_t)rbx, [REG_RCX] = (greg_t)rcx, [REG_RDX] = (greg_t)rdx};
    if (leaf == LEAF_EGETKEY && strcmp(machine_name, "broken") == 0) {
        return BROKEN_ERROR;
    }
    if (strcmp(machine_name, "sim") == 0) {
        return attest_sim(leaf, rbx, rcx, rdx);
    }
    struct exception exception = leaf == LEAF_EREPORT ? cpu_ereport(registers) : cpu_egetkey(registers);
    if (exception.vector >= 0) {
        printf("exception %d\n", exception.vector);
        exit(1);
    }
    return (uint64_t)registers[REG_RAX];
}

static void print(int64_t error, const uint8_t *bytes, size_t size)
{
    for (size_t index = 0; !error && index < size; index++) {
        printf("%02x", bytes[index]);
    }
    if (error) {
        printf("%lld", (long long)error);
    }
    putchar('\n');
}

static void read_hex(const char *text, uint8_t *to, size_t size)
{
    for (size_t index = 0; index < size; index++) {
        unsigned byte = 0;
        sscanf(text + 2 * index, "%2x", &byte);
        to[index] = (uint8_t)byte;
    }
}

static bool answer(char *request)
{
    static uint8_t operand[512] __attribute__((aligned(512))), result[512] __attribute__((aligned(512))), data[64];
    const char *words[4] = {"", "", "", ""}, *word = strtok(request, " ");
    for (unsigned index = 0; word && index < 4; index++) {
        words[index] = word;
        word = strtok(NULL, " ");
    }
    machine_name = words[0];
    memset(operand, 0, sizeof(operand));
    memset(result, 0, sizeof(result));
    if (strcmp(words[1], "report") == 0) {
        read_hex(words[2], operand, sizeof(operand));
        read_hex(words[3], data, sizeof(data));
        print(enclave_report(operand, data, result), result, 432);
    } else if (strcmp(words[1], "target") == 0) {
        enclave_target_info(result);
        print(0, result, sizeof(result));
    } else if (strcmp(words[1], "key") == 0) {
        print(enclave_seal_key(strcmp(words[2], "mrenclave") == 0 ? policy_mrenclave : policy_mrsigner, result), result, 16);
    } else if (strcmp(words[1], "raw") == 0) {
        read_hex(words[2], operand, sizeof(operand));
        print((int64_t)enclu(LEAF_EGETKEY, (uint64_t)operand, (uint64_t)result, 0), result, 16);
    } else {
        return false;
    }
    return true;
}

int main(int count, char **requests)
{
    bool is_good = true;
    for (unsigned index = 0; index < 32; index++) {
        measurement[index] = (uint8_t)(0x10 + index);
        signer[index] = (uint8_t)(0x80 + index);
    }
    for (int index = 1; index < count && is_good; index++) {
        is_good = answer(requests[index]);
    }
    return is_good ? 0 : 2;
}
