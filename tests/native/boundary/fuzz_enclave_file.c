/*
 * fuzz_enclave_file FILE ROUNDS SEED: breaks a signed enclave file in many ways and lets the loader's parser walk over it. It must neither
 * crash (sanitizers) nor name a page outside the enclave or content outside the file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi.h"
#include "enclave_file.h"

static uint64_t state;

static uint64_t next(uint64_t limit)
{
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state >> 33) % limit;
}

struct visit {
    const struct enclave_file *file;
    uint64_t sum;
};

static int visit_page(void *context, const struct enclave_page *page)
{
    struct visit *visit = context;
    if (page->address % PAGE_SIZE != 0 || page->address < ENCLAVE_IMAGE_ADDRESS || page->address >= ELRANGE_SIZE ||
        page->content_offset > PAGE_SIZE || page->content_size > PAGE_SIZE - page->content_offset) {
        abort();
    }
    for (uint32_t index = 0; page->content && index < page->content_size; index++) {
        visit->sum += page->content[index];
    }
    return 0;
}

/* Where the structures are: file header and program headers, section headers, metadata. */
static size_t interesting(const uint8_t *file, size_t size, size_t metadata)
{
    uint64_t sections;
    memcpy(&sections, file + 40, sizeof(sections));
    switch (next(4)) {
    case 0:
        return next(64 + 6 * 56);
    case 1:
        return sections < size ? sections + next(size - sections) : next(size);
    case 2:
        return metadata + next(6000);
    default:
        return next(size);
    }
}

static void break_file(uint8_t *file, size_t size, size_t metadata)
{
    static const uint64_t values[] = {0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFF000};
    for (uint64_t count = 1 + next(4); count > 0; count--) {
        size_t at = interesting(file, size, metadata) % (size - 8);
        size_t width = 1ULL << next(4);
        if (next(2)) {
            file[at] ^= (uint8_t)(1U << next(8));
        } else {
            memcpy(file + at, &values[next(sizeof(values) / sizeof(values[0]))], width);
        }
    }
}

int main(int argc, char **argv)
{
    FILE *stream = argc == 4 ? fopen(argv[1], "rb") : NULL;
    if (!stream) {
        return 2;
    }
    static uint8_t original[4 << 20];
    size_t size = fread(original, 1, sizeof(original), stream), metadata = 0;
    fclose(stream);
    for (size_t at = 0; at + 8 < size; at++) {
        if (memcmp(original + at, "\x4C\x0E\x5D\x63\x94\x02\xA8\x86", 8) == 0) {
            metadata = at;
        }
    }
    unsigned long walked = 0, rounds = strtoul(argv[2], NULL, 10);
    state = strtoul(argv[3], NULL, 10);
    for (unsigned long round = 0; round < rounds; round++) {
        size_t length = next(50) ? size : next(size);
        uint8_t *copy = malloc(length ? length : 1); /* of its exact size, for the address sanitizer */
        struct enclave_file file;
        memcpy(copy, original, length);
        if (length == size && round > 0) {
            break_file(copy, length, metadata);
        }
        if (enclave_file_parse(&file, copy, length) == 0) {
            struct visit visit = {.file = &file};
            walked += enclave_file_pages(&file, visit_page, &visit) == 0;
        }
        free(copy);
        if (round == 0 && walked != 1) {
            return 3; /* the file itself must be good */
        }
    }
    printf("%lu of %lu were walked\n", walked, rounds);
    return 0;
}
