#include "process/elf_file.h"

#include "base/base.h"

#define EI_CLASS_64 2
#define EI_DATA_LITTLE 1
#define ET_EXEC 2
#define ET_DYN 3
#define EM_X86_64 62
#define PT_LOAD 1
#define PT_INTERP 3
#define PT_PHDR 6
#define PT_GNU_STACK 0x6474E551
#define PF_X 1U
#define PF_W 2U
#define PF_R 4U

#define INTERPRETER_PATH_MAX 4096U

struct elf_header {
    uint8_t identification[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, program_headers_offset, section_headers_offset;
    uint32_t flags;
    uint16_t header_size, program_header_size, program_header_count;
    uint16_t section_header_size, section_header_count, section_names_index;
};

struct elf_program_header {
    uint32_t type, flags;
    uint64_t offset, virtual_address, physical_address, file_size, memory_size, alignment;
};

_Static_assert(sizeof(struct elf_header) == 64 &&
                   sizeof(struct elf_program_header) == ELF_PROGRAM_HEADER_SIZE,
               "ELF-64");

static uint32_t protection_of(uint32_t flags)
{
    return (flags & PF_R ? 1U : 0) | (flags & PF_W ? 2U : 0) | (flags & PF_X ? 4U : 0);
}

static const char *add_segment(struct elf_file *file, const struct elf_program_header *header,
                               uint64_t file_size)
{
    if (header->memory_size == 0) {
        return NULL;
    }
    if (file->segment_count == ELF_SEGMENTS_MAX) {
        return "too many segments";
    }
    if (header->file_size > header->memory_size || header->offset > file_size ||
        header->file_size > file_size - header->offset) {
        return "a segment lies outside the file";
    }
    if (header->virtual_address > APPLICATION_END ||
        header->memory_size > APPLICATION_END - header->virtual_address) {
        return "a segment lies outside the enclave's application range";
    }
    if ((header->virtual_address - header->offset) % PAGE_SIZE) {
        return "a segment's offset and address differ within the page";
    }
    if (file->segment_count) {
        const struct elf_segment *last = &file->segments[file->segment_count - 1];
        if (header->virtual_address < last->address + last->memory_size) {
            return "segments overlap or are out of order";
        }
    } else {
        file->low = PAGE_DOWN(header->virtual_address);
    }
    file->high = PAGE_UP(header->virtual_address + header->memory_size);
    file->segments[file->segment_count++] = (struct elf_segment){
        .address = header->virtual_address,
        .offset = header->offset,
        .file_size = header->file_size,
        .memory_size = header->memory_size,
        .protection = protection_of(header->flags),
    };
    return NULL;
}

/* AT_PHDR: where the table stands in memory. */
static uint64_t find_program_headers(const struct elf_file *file, uint64_t offset, uint64_t size)
{
    for (uint32_t i = 0; i < file->segment_count; i++) {
        const struct elf_segment *segment = &file->segments[i];
        if (offset >= segment->offset && offset - segment->offset <= segment->file_size &&
            size <= segment->file_size - (offset - segment->offset)) {
            return segment->address + (offset - segment->offset);
        }
    }
    return 0;
}

const char *elf_parse(struct elf_file *file, const void *head, size_t head_size, uint64_t file_size)
{
    struct elf_header header;
    *file = (struct elf_file){.wants_executable_stack = true}; /* without PT_GNU_STACK, as Linux */
    if (head_size < sizeof header) {
        return "too short for an ELF header";
    }
    memcpy(&header, head, sizeof header);
    if (memcmp(header.identification, "\177ELF", 4) != 0) {
        return "no ELF file";
    }
    if (header.identification[4] != EI_CLASS_64 || header.identification[5] != EI_DATA_LITTLE ||
        header.machine != EM_X86_64) {
        return "not for x86-64";
    }
    if (header.type != ET_EXEC && header.type != ET_DYN) {
        return "not an executable";
    }
    uint64_t table_size = (uint64_t)header.program_header_count * sizeof(struct elf_program_header);
    if (header.program_header_size != sizeof(struct elf_program_header) || header.program_header_count == 0 ||
        header.program_header_count > ELF_PROGRAM_HEADERS_MAX || header.program_headers_offset > head_size ||
        table_size > head_size - header.program_headers_offset) {
        return "bad program headers";
    }
    for (uint16_t i = 0; i < header.program_header_count; i++) {
        struct elf_program_header entry;
        memcpy(&entry, (const char *)head + header.program_headers_offset + i * sizeof entry, sizeof entry);
        switch (entry.type) {
        case PT_LOAD: {
            const char *error = add_segment(file, &entry, file_size);
            if (error) {
                return error;
            }
            break;
        }
        case PT_INTERP:
            if (file->interpreter_size || entry.file_size < 2 || entry.file_size > INTERPRETER_PATH_MAX ||
                entry.offset > file_size || entry.file_size > file_size - entry.offset) {
                return "bad interpreter";
            }
            file->interpreter_offset = entry.offset;
            file->interpreter_size = entry.file_size;
            break;
        case PT_GNU_STACK:
            file->wants_executable_stack = entry.flags & PF_X;
            break;
        default:
            break;
        }
    }
    if (!file->segment_count) {
        return "no segments";
    }
    file->is_position_independent = header.type == ET_DYN;
    if (!file->is_position_independent && file->low < APPLICATION_START) {
        return "a segment lies outside the enclave's application range";
    }
    file->entry = header.entry;
    if (file->entry < file->low || file->entry >= file->high) {
        return "the entry point lies outside the program";
    }
    file->program_header_count = header.program_header_count;
    file->program_headers_address = find_program_headers(file, header.program_headers_offset, table_size);
    return NULL;
}
