/* ELF-64 executables for x86-64: headers read and checked, nothing loaded (System V ABI, chapter 5). Pure. */
#ifndef ENCLAVIZE_ELF_FILE_H
#define ENCLAVIZE_ELF_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_SEGMENTS_MAX 32U
#define ELF_PROGRAM_HEADERS_MAX 64U
#define ELF_PROGRAM_HEADER_SIZE 56U
/* bytes of the file's start that must hold the ELF header and the program headers */
#define ELF_HEAD_SIZE 4096U

struct elf_segment {
    uint64_t address; /* of the first byte, before the load bias */
    uint64_t offset;
    uint64_t file_size;
    uint64_t memory_size;
    uint32_t protection; /* PROT_* */
};

struct elf_file {
    bool is_position_independent;
    uint64_t entry;
    uint64_t program_headers_address; /* for AT_PHDR, before the load bias; 0: in no segment */
    uint16_t program_header_count;
    uint64_t low, high; /* page-aligned span of all segments */
    uint32_t segment_count;
    struct elf_segment segments[ELF_SEGMENTS_MAX]; /* ascending, never sharing a byte */
    uint64_t interpreter_offset;
    uint64_t interpreter_size; /* with NUL; 0: none */
    bool wants_executable_stack;
};

/* What is wrong with it, or NULL. `head` is the first `head_size` bytes of a file of `file_size`. */
const char *elf_parse(struct elf_file *file, const void *head, size_t head_size, uint64_t file_size);

#endif
