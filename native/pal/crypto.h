/* crypto/host.zig: Zig's std.crypto and std.math.big behind C names. */
#ifndef ENCLAVIZE_PAL_CRYPTO_H
#define ENCLAVIZE_PAL_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Chooses the SHA extensions if the CPU has them. */
void sha256_choose(bool has_sha_extensions);

struct sha256 {
    uint8_t state[128] __attribute__((aligned(16)));
};
void sha256_start(struct sha256 *hash);
void sha256_update(struct sha256 *hash, const void *data, size_t size);
void sha256_finish(struct sha256 *hash, uint8_t digest[32]);

/* AES-128-CMAC (RFC 4493). Uses XMM registers. */
void aes_cmac(const uint8_t key[16], const void *message, size_t size, uint8_t mac[16]);

/* RSA-3072, e = 3, PKCS#1 v1.5 with SHA-256. All numbers little-endian, as in SIGSTRUCT. */
bool rsa3072_verify(const uint8_t modulus[384], const uint8_t signature[384], const void *message, size_t size);

/* q1 = floor(s * s / n), q2 = floor(s * (s * s mod n) / n), which EINIT uses instead of dividing. */
bool rsa3072_quotients_match(const uint8_t modulus[384], const uint8_t signature[384], const uint8_t q1[384], const uint8_t q2[384]);

#endif
