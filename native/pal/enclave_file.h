/*
 * A signed enclave file in the Intel SDK's format (docs/enclave-file.md): found, bounded, patched; then the pages that it says are to be
 * added, in order. The file is an input from an image: nothing in it is believed before it is checked.
 */
#ifndef ENCLAVIZE_PAL_ENCLAVE_FILE_H
#define ENCLAVIZE_PAL_ENCLAVE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sgx.h"

struct enclave_file {
    uint8_t *bytes; /* a private copy, patched */
    size_t size;
    const uint8_t *metadata;
    size_t metadata_size;
    struct sigstruct sigstruct;
    struct sgx_attributes attributes; /* that the file asks for */
    uint32_t misc_select;
    uint32_t ssa_frame_pages;
    uint64_t enclave_size; /* of the image with its regions */
    uint64_t elrange_start;
    uint64_t elrange_size;
    uint64_t image_address;
    uint64_t stub_address;  /* of symbol enclu_stub, in the enclave; 0: none */
};

/* One page that is to be added (EADD), in the order of measurement. */
struct enclave_page {
    uint64_t address;        /* in the enclave, absolute */
    uint64_t flags;          /* SECINFO.FLAGS */
    bool measured;           /* EEXTEND too */
    const uint8_t *content;  /* content_size bytes at content_offset of the page; the rest is zero */
    uint32_t content_offset;
    uint32_t content_size;
    uint32_t fill;           /* or every u32, if content is NULL */
};

typedef int (*page_visitor)(void *context, const struct enclave_page *page);

/* Takes over `bytes` (writable, of `size`), which the caller releases after the file is done with. 0, or -ENOEXEC with the reason told to fail(). */
int enclave_file_parse(struct enclave_file *file, uint8_t *bytes, size_t size);

/* Calls `visit` for every page, at most PAGES_MAX. Stops at the first that returns non-zero and returns that. */
int enclave_file_pages(const struct enclave_file *file, page_visitor visit, void *context);

#define ENCLAVE_FILE_SIZE_MAX (256UL << 20)
#define ENCLAVE_PAGES_MAX (1UL << 20)

#endif
