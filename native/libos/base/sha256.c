/* SHA-256 with the application's vector registers put away: all of each, since the variant for
 * AVX-512 is made of instructions that clear the upper parts of what they write. */
#include "base/base.h"

#define VARIANT(name)                                                                                                      \
    void sha256_start_##name(struct sha256 *hash);                                                                         \
    void sha256_update_##name(struct sha256 *hash, const void *data, size_t size);                                         \
    void sha256_finish_##name(struct sha256 *hash, uint8_t digest[SHA256_SIZE]);
VARIANT(baseline)
VARIANT(ni)
void sha256_each_ni(const void *data, size_t size, size_t count, uint8_t *digests);
void sha256_each_wide(const void *data, size_t size, size_t count, uint8_t *digests);

#define WIDE 16U      /* messages that sha256_each_wide() takes at a time */
#define WIDE_LEAST 8U /* fewer are done sooner two at a time, or one by one */

static void start(struct sha256 *hash, bool extensions)
{
    if (extensions) {
        sha256_start_ni(hash);
    } else {
        sha256_start_baseline(hash);
    }
}

static void update(struct sha256 *hash, const void *data, size_t size, bool extensions)
{
    if (extensions) {
        sha256_update_ni(hash, data, size);
    } else {
        sha256_update_baseline(hash, data, size);
    }
}

static void finish(struct sha256 *hash, uint8_t digest[SHA256_SIZE], bool extensions)
{
    if (extensions) {
        sha256_finish_ni(hash, digest);
    } else {
        sha256_finish_baseline(hash, digest);
    }
}

/* What is done while the registers are away. */
struct work {
    struct sha256 *hash;
    const uint8_t *data;
    size_t size, count;
    uint8_t *digests;
    bool extensions, wide;
};

static void do_start(void *argument)
{
    const struct work *work = argument;
    start(work->hash, work->extensions);
}

static void do_update(void *argument)
{
    const struct work *work = argument;
    update(work->hash, work->data, work->size, work->extensions);
}

static void do_finish(void *argument)
{
    const struct work *work = argument;
    finish(work->hash, work->digests, work->extensions);
}

static void do_each(void *argument)
{
    const struct work *work = argument;
    size_t rest = work->count % WIDE, index = 0;
    if (work->wide) {
        index = rest < WIDE_LEAST ? work->count - rest : work->count;
        sha256_each_wide(work->data, work->size, index, work->digests);
    }
    if (work->extensions && work->count - index > 1) { /* two at a time */
        sha256_each_ni(work->data + index * work->size, work->size, work->count - index, work->digests + index * SHA256_SIZE);
        return;
    }
    for (; index < work->count; index++) {
        struct sha256 hash;
        start(&hash, work->extensions);
        update(&hash, work->data + index * work->size, work->size, work->extensions);
        finish(&hash, work->digests + index * SHA256_SIZE, work->extensions);
    }
}

static void run(void (*function)(void *), struct work work)
{
    work.extensions = base_upcalls.has_sha_extensions();
    work.wide = base_upcalls.has_wide_registers();
    base_upcalls.with_vector_registers(function, &work);
}

void sha256_start(struct sha256 *hash)
{
    run(do_start, (struct work){.hash = hash});
}

void sha256_update(struct sha256 *hash, const void *data, size_t size)
{
    run(do_update, (struct work){.hash = hash, .data = data, .size = size});
}

void sha256_finish(struct sha256 *hash, uint8_t digest[SHA256_SIZE])
{
    run(do_finish, (struct work){.hash = hash, .digests = digest});
}

void sha256_each(const void *data, size_t size, size_t count, uint8_t *digests)
{
    run(do_each, (struct work){.data = data, .size = size, .count = count, .digests = digests});
}

void sha256(const void *data, size_t size, uint8_t digest[SHA256_SIZE])
{
    sha256_each(data, size, 1, digest);
}
