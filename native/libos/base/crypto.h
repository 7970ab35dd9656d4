/*
 * SHA-256 inside the enclave. The implementation is Zig's std.crypto behind crypto/sha256.zig; these functions save the
 * application's vector registers around it, so they may be called anywhere in the LibOS.
 */
#ifndef ENCLAVIZE_CRYPTO_H
#define ENCLAVIZE_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32

/* A running hash. The content is private to crypto/sha256.zig, which checks the size at compile time. */
struct sha256 {
    uint8_t state[128] __attribute__((aligned(16)));
};

void sha256_start(struct sha256 *hash);
void sha256_update(struct sha256 *hash, const void *data, size_t size);
void sha256_finish(struct sha256 *hash, uint8_t digest[SHA256_SIZE]);

/* One shot. */
void sha256(const void *data, size_t size, uint8_t digest[SHA256_SIZE]);

/* One shot for each of `count` pieces of `size` bytes; the digests lie one after the other. Saves the registers once. */
void sha256_each(const void *data, size_t size, size_t count, uint8_t *digests);

#endif
