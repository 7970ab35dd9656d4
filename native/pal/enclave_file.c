#include "enclave_file.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi.h"
#include "log.h"

#define METADATA_SECTION ".note.sgxmeta"
#define METADATA_NOTE_HEADER 25 /* three u32 and the unpadded name "sgx_metadata\0" */
#define METADATA_MAGIC 0x86A80294635D0E4CULL
#define ELRANGE_MAJOR 10
#define MAJOR_MAX 13
#define SSA_FRAME_PAGES_MAX 4
#define PATCHES_MAX 64
#define LAYOUT_RECORDS_MAX 4096

enum { DIRECTORY_PATCH, DIRECTORY_LAYOUT, DIRECTORY_ELRANGE, DIRECTORY_EXTEND, DIRECTORY_COUNT };

struct directory {
    uint32_t offset;
    uint32_t size;
};

struct metadata {
    uint64_t magic;
    uint64_t version;
    uint32_t size;
    uint32_t tcs_policy;
    uint32_t ssa_frame_size;
    uint32_t max_save_buffer_size;
    uint32_t desired_misc_select;
    uint32_t tcs_min_pool;
    uint64_t enclave_size;
    struct sgx_attributes attributes;
    struct sigstruct sigstruct;
    struct directory directories[DIRECTORY_COUNT];
} __attribute__((packed));
_Static_assert(sizeof(struct metadata) == 1904, "metadata");

struct patch {
    uint64_t destination;
    uint32_t source;
    uint32_t size;
    uint8_t reserved[16];
};

struct layout_record {
    uint16_t id;
    uint16_t attributes; /* of a group: how many records before it */
    uint32_t page_count; /* of a group: how many times */
    uint64_t rva;        /* of a group: how far each time */
    uint32_t content_size;
    uint32_t content_offset;
    uint64_t flags;
};
_Static_assert(sizeof(struct patch) == 32 && sizeof(struct layout_record) == 32, "records");

#define LAYOUT_GROUP 0x1000U
#define LAYOUT_EADD 0x1U
#define LAYOUT_EEXTEND 0x2U

#define TCS_TEMPLATE_SIZE 72

static int refuse(const char *reason)
{
    return fail(-ENOEXEC, "the enclave file is malformed: %s", reason);
}

static bool fits(uint64_t offset, uint64_t size, uint64_t whole)
{
    return offset <= whole && size <= whole - offset;
}

/* ELF. Headers are copied out: the file's alignment is not ours. */

static bool read_header(const struct enclave_file *file, Elf64_Ehdr *header)
{
    if (file->size < sizeof(*header)) {
        return false;
    }
    memcpy(header, file->bytes, sizeof(*header));
    return memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 && header->e_ident[EI_CLASS] == ELFCLASS64 &&
           header->e_ident[EI_DATA] == ELFDATA2LSB && header->e_type == ET_DYN && header->e_machine == EM_X86_64 &&
           header->e_phentsize == sizeof(Elf64_Phdr) && header->e_shentsize == sizeof(Elf64_Shdr) &&
           fits(header->e_phoff, (uint64_t)header->e_phnum * sizeof(Elf64_Phdr), file->size) &&
           fits(header->e_shoff, (uint64_t)header->e_shnum * sizeof(Elf64_Shdr), file->size) && header->e_shstrndx < header->e_shnum;
}

static Elf64_Shdr section_at(const struct enclave_file *file, const Elf64_Ehdr *header, uint32_t index)
{
    Elf64_Shdr section;
    memcpy(&section, file->bytes + header->e_shoff + index * sizeof(section), sizeof(section));
    return section;
}

/* A NUL-terminated name in a string table that lies in the file. */
static bool name_is(const struct enclave_file *file, const Elf64_Shdr *strings, uint32_t offset, const char *name)
{
    size_t length = strlen(name) + 1;
    return fits(strings->sh_offset, strings->sh_size, file->size) && fits(offset, length, strings->sh_size) &&
           memcmp(file->bytes + strings->sh_offset + offset, name, length) == 0;
}

static bool find_section(const struct enclave_file *file, const Elf64_Ehdr *header, const char *name, Elf64_Shdr *section)
{
    Elf64_Shdr strings = section_at(file, header, header->e_shstrndx);
    for (uint32_t index = 0; index < header->e_shnum; index++) {
        *section = section_at(file, header, index);
        if (name_is(file, &strings, section->sh_name, name)) {
            return section->sh_type == SHT_NOBITS || fits(section->sh_offset, section->sh_size, file->size);
        }
    }
    return false;
}

/* Where the simulator finds the enclave's only ENCLU. Enclaves without it are run by trapping. */
static uint64_t find_stub(const struct enclave_file *file, const Elf64_Ehdr *header)
{
    Elf64_Shdr symbols;
    if (!find_section(file, header, ".dynsym", &symbols) || symbols.sh_link >= header->e_shnum) {
        return 0;
    }
    Elf64_Shdr strings = section_at(file, header, symbols.sh_link);
    for (uint64_t offset = 0; offset + sizeof(Elf64_Sym) <= symbols.sh_size; offset += sizeof(Elf64_Sym)) {
        Elf64_Sym symbol;
        memcpy(&symbol, file->bytes + symbols.sh_offset + offset, sizeof(symbol));
        if (name_is(file, &strings, symbol.st_name, "enclu_stub") && symbol.st_value < file->enclave_size) {
            return file->image_address + symbol.st_value;
        }
    }
    return 0;
}

/* Metadata. */

static struct directory directory(const struct enclave_file *file, int index)
{
    struct metadata metadata;
    memcpy(&metadata, file->metadata, sizeof(metadata));
    return metadata.directories[index];
}

static int read_elrange(struct enclave_file *file)
{
    uint64_t elrange[3];
    struct directory where = directory(file, DIRECTORY_ELRANGE);
    if (where.size != sizeof(elrange)) {
        return refuse("its ELRange is missing");
    }
    memcpy(elrange, file->metadata + where.offset, sizeof(elrange));
    file->image_address = elrange[0];
    file->elrange_start = elrange[1];
    file->elrange_size = elrange[2];
    if (file->elrange_start != ELRANGE_START || file->elrange_size != ELRANGE_SIZE || file->image_address != ENCLAVE_IMAGE_ADDRESS ||
        file->enclave_size > ELRANGE_SIZE - ENCLAVE_IMAGE_ADDRESS || file->enclave_size % PAGE_SIZE != 0) {
        return fail(-ENOEXEC, "the enclave file is not one of the builtin LibOS: its address range differs");
    }
    return 0;
}

static int read_metadata(struct enclave_file *file, const Elf64_Ehdr *header)
{
    Elf64_Shdr section;
    struct metadata metadata;
    if (!find_section(file, header, METADATA_SECTION, &section) || section.sh_type == SHT_NOBITS ||
        section.sh_size < METADATA_NOTE_HEADER + sizeof(metadata)) {
        return refuse("it has no metadata section");
    }
    file->metadata = file->bytes + section.sh_offset + METADATA_NOTE_HEADER;
    uint64_t room = section.sh_size - METADATA_NOTE_HEADER;
    memcpy(&metadata, file->metadata, sizeof(metadata));
    if (metadata.magic != METADATA_MAGIC) {
        return fail(-ENOEXEC, "the enclave file is not signed");
    }
    uint32_t major = (uint32_t)(metadata.version >> 32);
    if (major > MAJOR_MAX || metadata.size < sizeof(metadata) || metadata.size > room) {
        return refuse("its metadata has an unknown version or size");
    }
    if (metadata.ssa_frame_size == 0 || metadata.ssa_frame_size > SSA_FRAME_PAGES_MAX) {
        return refuse("its SSA frame size is out of range");
    }
    for (int index = 0; index < DIRECTORY_COUNT; index++) {
        if (!fits(metadata.directories[index].offset, metadata.directories[index].size, metadata.size)) {
            return refuse("a table lies outside its metadata");
        }
    }
    file->metadata_size = metadata.size;
    file->sigstruct = metadata.sigstruct;
    file->attributes = metadata.attributes;
    file->misc_select = metadata.desired_misc_select;
    file->ssa_frame_pages = metadata.ssa_frame_size;
    file->enclave_size = metadata.enclave_size;
    return major > ELRANGE_MAJOR ? read_elrange(file) : fail(-ENOEXEC, "the enclave file is not one of the builtin LibOS: it has no ELRange");
}

/* Metadata stays as it is while the rest of the file is patched from it. */
static int apply_patches(struct enclave_file *file)
{
    struct directory where = directory(file, DIRECTORY_PATCH);
    uint64_t metadata_start = (uint64_t)(file->metadata - file->bytes);
    if (where.size % sizeof(struct patch) != 0 || where.size / sizeof(struct patch) > PATCHES_MAX) {
        return refuse("its patch table has an impossible size");
    }
    for (uint32_t offset = 0; offset < where.size; offset += sizeof(struct patch)) {
        struct patch patch;
        memcpy(&patch, file->metadata + where.offset + offset, sizeof(patch));
        if (!fits(patch.source, patch.size, file->metadata_size) || !fits(patch.destination, patch.size, file->size)) {
            return refuse("a patch lies outside the file");
        }
        if (patch.destination < metadata_start + file->metadata_size && patch.destination + patch.size > metadata_start) {
            return refuse("a patch would change the metadata");
        }
        memcpy(file->bytes + patch.destination, file->metadata + patch.source, patch.size);
    }
    return 0;
}

int enclave_file_parse(struct enclave_file *file, uint8_t *bytes, size_t size)
{
    Elf64_Ehdr header;
    *file = (struct enclave_file){.bytes = bytes, .size = size};
    if (!read_header(file, &header)) {
        return refuse("it is no ELF64 shared object for x86-64 with section headers");
    }
    int error = read_metadata(file, &header);
    if (error) {
        return error;
    }
    file->stub_address = find_stub(file, &header);
    return apply_patches(file);
}

/* Pages. */

struct walk {
    const struct enclave_file *file;
    page_visitor visit;
    void *context;
    uint64_t pages;
};

static int visit_page(struct walk *walk, const struct enclave_page *page)
{
    if (++walk->pages > ENCLAVE_PAGES_MAX) {
        return refuse("it has too many pages");
    }
    return walk->visit(walk->context, page);
}

static int walk_segment(struct walk *walk, const Elf64_Phdr *segment)
{
    const struct enclave_file *file = walk->file;
    if (segment->p_filesz > segment->p_memsz || !fits(segment->p_offset, segment->p_filesz, file->size) ||
        !fits(segment->p_vaddr, segment->p_memsz, file->enclave_size)) {
        return refuse("a segment lies outside the file or the enclave");
    }
    uint64_t first = segment->p_vaddr & ~(PAGE_SIZE - 1);
    uint64_t end = segment->p_vaddr + segment->p_memsz;
    uint64_t data_end = segment->p_vaddr + segment->p_filesz;
    uint64_t rights = ((segment->p_flags & PF_R) ? SECINFO_R : 0) | ((segment->p_flags & PF_W) ? SECINFO_W : 0) |
                      ((segment->p_flags & PF_X) ? SECINFO_X : 0);
    for (uint64_t rva = first; rva < end; rva += PAGE_SIZE) {
        uint64_t from = rva < segment->p_vaddr ? segment->p_vaddr : rva;
        uint64_t to = rva + PAGE_SIZE < data_end ? rva + PAGE_SIZE : data_end;
        struct enclave_page page = {.address = file->image_address + rva, .flags = SECINFO_REG | rights, .measured = true};
        if (from < to) {
            page.content = file->bytes + segment->p_offset + (from - segment->p_vaddr);
            page.content_offset = (uint32_t)(from - rva);
            page.content_size = (uint32_t)(to - from);
        }
        int result = visit_page(walk, &page);
        if (result) {
            return result;
        }
    }
    return 0;
}

static int walk_segments(struct walk *walk)
{
    /* The patches zero section headers only: the program headers are still where they were. They are checked anew all the same. */
    Elf64_Ehdr header;
    memcpy(&header, walk->file->bytes, sizeof(header));
    if (header.e_phentsize != sizeof(Elf64_Phdr) || !fits(header.e_phoff, (uint64_t)header.e_phnum * sizeof(Elf64_Phdr), walk->file->size)) {
        return refuse("its program headers lie outside the file");
    }
    for (uint32_t index = 0; index < header.e_phnum; index++) {
        Elf64_Phdr segment;
        memcpy(&segment, walk->file->bytes + header.e_phoff + index * sizeof(segment), sizeof(segment));
        int result = segment.p_type == PT_LOAD ? walk_segment(walk, &segment) : 0;
        if (result) {
            return result;
        }
    }
    return 0;
}

static uint64_t load64(const uint8_t *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof(value));
    return value;
}

static int walk_tcs(struct walk *walk, const struct layout_record *record, uint64_t rva)
{
    uint8_t tcs[TCS_TEMPLATE_SIZE];
    if (record->content_size != sizeof(tcs) || record->page_count != 1 ||
        !fits(record->content_offset, sizeof(tcs), walk->file->metadata_size)) {
        return refuse("a TCS lies outside its metadata");
    }
    memcpy(tcs, walk->file->metadata + record->content_offset, sizeof(tcs));
    static const size_t relative[] = {offsetof(struct tcs, ossa), offsetof(struct tcs, ofsbase), offsetof(struct tcs, ogsbase)};
    for (size_t index = 0; index < sizeof(relative) / sizeof(relative[0]); index++) {
        uint64_t value = load64(tcs + relative[index]) + rva;
        memcpy(tcs + relative[index], &value, sizeof(value));
    }
    const struct enclave_page page = {
        .address = walk->file->image_address + rva, .flags = record->flags, .measured = record->attributes & LAYOUT_EEXTEND,
        .content = tcs, .content_size = sizeof(tcs),
    };
    return visit_page(walk, &page);
}

static int walk_record(struct walk *walk, const struct layout_record *record, uint64_t shift)
{
    uint64_t rva = record->rva + shift;
    if (!(record->attributes & LAYOUT_EADD) || record->page_count == 0 || record->flags == 0) {
        return 0;
    }
    if (rva % PAGE_SIZE != 0 || rva < shift || !fits(rva, record->page_count * PAGE_SIZE, walk->file->enclave_size)) {
        return refuse("a region lies outside the enclave");
    }
    if (record->content_offset != 0) {
        return walk_tcs(walk, record, rva);
    }
    for (uint64_t index = 0; index < record->page_count; index++) {
        const struct enclave_page page = {
            .address = walk->file->image_address + rva + index * PAGE_SIZE, .flags = record->flags,
            .measured = record->attributes & LAYOUT_EEXTEND, .fill = record->content_size,
        };
        int result = visit_page(walk, &page);
        if (result) {
            return result;
        }
    }
    return 0;
}

static struct layout_record record_at(const struct walk *walk, uint32_t table, uint32_t index)
{
    struct layout_record record;
    memcpy(&record, walk->file->metadata + table + index * sizeof(record), sizeof(record));
    return record;
}

/* The records before it again and again, further on each time. */
static int walk_group(struct walk *walk, uint32_t table, uint32_t index)
{
    const struct layout_record group = record_at(walk, table, index);
    uint32_t members = group.attributes;
    if (members == 0 || members > index) {
        return refuse("a group of regions is impossible");
    }
    for (uint64_t time = 1; time <= group.page_count; time++) {
        uint64_t before = walk->pages;
        if (group.rva > walk->file->enclave_size / time) {
            return refuse("a group of regions lies outside the enclave");
        }
        for (uint32_t member = index - members; member < index; member++) {
            const struct layout_record record = record_at(walk, table, member);
            int result = (record.id & LAYOUT_GROUP) ? refuse("a group of regions holds a group")
                                                    : walk_record(walk, &record, time * group.rva);
            if (result) {
                return result;
            }
        }
        if (walk->pages == before) {
            return 0; /* nothing to add, however often */
        }
    }
    return 0;
}

static int walk_layout(struct walk *walk)
{
    struct directory where = directory(walk->file, DIRECTORY_LAYOUT);
    uint32_t count = where.size / sizeof(struct layout_record);
    if (where.size % sizeof(struct layout_record) != 0 || count > LAYOUT_RECORDS_MAX) {
        return refuse("its layout table has an impossible size");
    }
    for (uint32_t index = 0; index < count; index++) {
        const struct layout_record record = record_at(walk, where.offset, index);
        int result = (record.id & LAYOUT_GROUP) ? walk_group(walk, where.offset, index) : walk_record(walk, &record, 0);
        if (result) {
            return result;
        }
    }
    return 0;
}

int enclave_file_pages(const struct enclave_file *file, page_visitor visit, void *context)
{
    struct walk walk = {.file = file, .visit = visit, .context = context};
    int result = walk_segments(&walk);
    return result ? result : walk_layout(&walk);
}
